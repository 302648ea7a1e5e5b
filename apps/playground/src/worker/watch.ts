// What a run shows of itself: pieces of text, experts and bytes of the cache, decisions of the routers.
import type { KvCache } from '@mixsga/kv-cache';
import type { Pretrained, Tokenizer } from '@mixsga/models';
import { EVICTED, type CacheFacts, type RoutingFacts, type Token } from '../protocol';

/** Under an eviction policy or a KV budget any token may be gone or elsewhere; to ask for all of them takes a while. */
const REFRESH_MS = 250;

/** Looks at the cache of a sequence after each pass. */
export class CacheWatch {
  #known = 0;
  #refreshedAt = -Infinity;

  /** @param length tokens that the cache sees at most */
  constructor(readonly layers: number, readonly length: number, readonly moves: boolean) {}

  /** The next cache is another one. */
  restart(): void {
    this.#known = 0;
  }

  /** The cache's own figures, and the experts of tokens that were not seen before; where tokens move now and then of all. */
  look(cache: KvCache): { cache: CacheFacts; first: number; experts: Uint8Array } {
    const { tokensSeen } = cache;
    const now = performance.now();
    const isDue = this.moves && (now - this.#refreshedAt >= REFRESH_MS || tokensSeen === this.length);
    if (isDue) this.#refreshedAt = now;
    const first = isDue ? 0 : this.#known;
    const count = tokensSeen - first;
    const experts = new Uint8Array(this.layers * count);
    for (let layer = 0; layer < this.layers; layer++) {
      for (let i = 0; i < count; i++) experts[layer * count + i] = cache.expertOf(layer, first + i) ?? EVICTED;
    }
    this.#known = tokensSeen;
    const { used, allocated } = cache.bytes();
    const facts = { tokensSeen, tokensKept: cache.tokensKept(0), bytesUsed: used, bytesAllocated: allocated, expertCounts: cache.expertCounts() };
    return { cache: facts, first, experts };
  }
}

/** Limits the tokens that pass in a second. */
export class Pace {
  #next = 0;

  /** @param perSecond 0: all */
  constructor(readonly perSecond: number) {}

  async wait(signal: AbortSignal): Promise<void> {
    if (this.perSecond === 0) return;
    const now = performance.now();
    this.#next = Math.max(now, this.#next) + 1000 / this.perSecond;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, this.#next - now);
      signal.addEventListener('abort', done, { once: true });
      function done() {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}

/**
 * What each token adds to a text.
 * @param before the token before the first
 */
export function piecesOf(tokenizer: Pick<Tokenizer, 'decode'>, ids: readonly number[], before?: number): Token[] {
  return ids.map((id, i) => {
    const previous = i > 0 ? ids[i - 1]! : before;
    if (previous === undefined) return { id, text: tokenizer.decode([id]) };
    return { id, text: tokenizer.decode([previous, id]).slice(tokenizer.decode([previous]).length) };
  });
}

/**
 * What the routers make of a prompt and the tokens after it, of which the last is not in the cache.
 * @param onProgress optional hook that reports how much is done, from 0 to 1
 */
export async function routingFacts(
  decoder: Pretrained['decoder'], prompt: readonly number[], tokens: readonly number[],
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress?: (done: number) => void },
): Promise<RoutingFacts> {
  const text = Int32Array.from([...prompt, ...tokens.slice(0, -1)]);
  // Two passes of the same length.
  const half = (first: number) => onProgress && ((done: number) => onProgress(first + done / 2));
  const together = await decoder.routingOf(text, { routing: 'prefill', signal, onProgress: half(0) });
  const agreementByLayer = together.map(({ prefill, decode }) => share(prefill, decode));
  const asRun = await decoder.routingOf(text, { routing: 'prefill', promptTokens: prompt.length, signal, onProgress: half(0.5) });
  return {
    agreement: agreementByLayer.reduce((sum, each) => sum + each, 0) / agreementByLayer.length,
    agreementByLayer,
    scores: asRun.map(({ scores }) => scores),
  };
}

function share(a: Int32Array, b: Int32Array): number {
  return a.reduce((same, expert, i) => same + (expert === b[i] ? 1 : 0), 0) / a.length;
}
