// A step: one token into each of some caches, layer by layer.
import type { Route } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import type { StepOutput } from '../generation/decoder';
import type { Inspect } from './finite-logits';
import { attentionOf, type Buffers, embedTokens, type Parts, windowOf } from './parts';

export interface StepOptions {
  readonly buffers: Buffers;
  /** What the last layer's activations give. */
  readonly output: (buffers: Buffers, rows: number) => Promise<StepOutput>;
  readonly inspect?: Inspect | undefined;
}

/** A token in each of some caches. When it throws, no cache has changed. */
export async function decodeStep(
  parts: Parts, tokens: Int32Array, caches: readonly KvCache[], { buffers, output, inspect }: StepOptions,
): Promise<StepOutput> {
  const { runtime, shape, transformer, attention, variant, cacheLayer } = parts;
  const rows = tokens.length;
  const { a, projected: projected } = buffers;
  let state: 'running' | 'committed' | 'failed' = 'running';
  try {
    embedTokens(parts, tokens, Int32Array.from(caches, ({ tokensSeen }) => tokensSeen), buffers);
    if (inspect) await inspect(-1, a.x);
    /** Of each row, by layer of the cache. */
    const routes: (readonly Route[])[] = [];
    for (let layer = 0; layer < shape.layers; layer++) {
      const stored = cacheLayer[layer]!;
      const own = attention[variant.kvSource(layer)]!;
      const input = transformer.startLayer(layer, a, rows);
      const angles = buffers.angles?.ofLayer(layer);
      if (angles) runtime.rotate(a.q, angles, rows);
      const views = caches.map((cache) => cache.view(stored, windowOf(transformer, layer)));
      if (variant.kvSource(layer) === layer) {
        const routed = own.store({ x: input, rows, projected, angles: angles ?? null, views });
        routes[stored] = routed instanceof Promise ? await routed : routed;
      }
      // They may come as late as the next read, when this step has failed.
      const observers = caches.map((cache) => (!cache.observes ? null : (segment: number, received: Float32Array) => {
        if (state === 'running') cache.observe(stored, segment, received);
      }));
      const attending = own.attend({ q: a.q, out: a.attended, views, routes: routes[stored]!, observers, ...attentionOf(parts) });
      if (attending) await attending;
      for (const _ of transformer.finishLayer(layer, a, rows)); // at once: a token is little work
      if (inspect) await inspect(layer, a.x);
    }
    const result = kept(await output(buffers, rows), caches);
    caches.forEach((cache, row) => cache.commit(routes.map((own) => own[row]!.expert!)));
    state = 'committed';
    return result;
  } finally {
    if (state === 'running') {
      state = 'failed';
      // What a failed step observed must not count.
      for (const cache of caches) cache.truncate(cache.tokensSeen);
    }
  }
}

/** Logits that stay when the heap grows, as it may where a commit moves tokens. */
export function kept<Output extends StepOutput>(output: Output, caches: readonly KvCache[]): Output {
  return output.logits && caches.some(({ moves }) => moves) ? { ...output, logits: output.logits.slice() } : output;
}
