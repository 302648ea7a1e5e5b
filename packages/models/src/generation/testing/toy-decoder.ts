import { ArgumentError, HostPages, storedGroups } from '@mixsga/backend';
import { CachePool, type KvCache } from '@mixsga/kv-cache';
import type { CacheOptions, Decoder, PrefillOptions, StepOutput, Want } from '../decoder';

/** A call that a decoder got. */
export interface ToyCall {
  readonly kind: 'prefill' | 'step';
  readonly want: Want;
  readonly tokens: readonly number[];
  readonly prompt?: number;
}

/**
 * The smallest decoder: the logits of the next token are a table's row for the last token, plus its column for the number of
 * tokens before, so that a mixed-up cache shows. Its caches are real, with 2 layers and 2 experts; token t has expert t mod 2.
 */
export class ToyDecoder implements Decoder {
  readonly attention = 'mixsga:1:1';
  readonly weightBytes = 0;
  readonly calls: ToyCall[] = [];
  readonly caches: KvCache[] = [];
  /** Thrown by the calls of these numbers, counted from 0. */
  readonly failures = new Map<number, Error>();
  #values = new Float32Array(0);
  readonly #pool = new CachePool(
    { pages: (format) => new HostPages(format) },
    { layers: 2, formats: [1, 2].map((groupSize) => storedGroups({ kvHeads: 2, headDim: 4, groupSize })), fingerprint: 'toy' },
  );

  /** @param table [V, V]; a column is added for the number of tokens before, modulo V */
  constructor(
    readonly table: readonly (readonly number[])[],
    readonly contextLength = 64,
  ) {}

  get vocabularySize(): number {
    return this.table.length;
  }

  createCache(options: CacheOptions = {}): KvCache {
    const cache = this.#pool.create(options);
    this.caches.push(cache);
    return cache;
  }

  restoreCache(): Promise<KvCache> {
    throw new ArgumentError('ToyDecoder: caches are not restored');
  }

  prefill(tokens: Int32Array, cache: KvCache, { promptTokens: prompt, want }: PrefillOptions): Promise<StepOutput> {
    this.#called({ kind: 'prefill', want, tokens: [...tokens], prompt });
    const experts = tokens.map((token) => token % 2);
    for (const layer of [0, 1]) cache.planRows(layer, experts);
    cache.commitRows();
    return this.#output([tokens.at(-1)!], [cache], want);
  }

  step(tokens: Int32Array, caches: readonly KvCache[], { want }: { want: Want }): Promise<StepOutput> {
    this.#called({ kind: 'step', want, tokens: [...tokens] });
    caches.forEach((cache, row) => {
      for (const layer of [0, 1]) cache.view(layer);
      cache.commit([tokens[row]! % 2, tokens[row]! % 2]);
    });
    return this.#output([...tokens], caches, want);
  }

  dispose(): void {
    this.#pool.dispose();
  }

  /** The logits after a text of that length and last token. */
  logits(last: number, length: number): number[] {
    return this.table[last]!.map((value, next) => value + this.table[next]![length % this.vocabularySize]!);
  }

  #called(call: ToyCall): void {
    this.#values.fill(NaN); // valid until the next call only
    const failure = this.failures.get(this.calls.length);
    this.calls.push(call);
    if (failure) throw failure;
  }

  async #output(last: readonly number[], caches: readonly KvCache[], want: Want): Promise<StepOutput> {
    const rows = last.map((token, row) => this.logits(token, caches[row]!.tokensSeen));
    await Promise.resolve();
    if (want === 'logits') return { argMax: null, logits: (this.#values = Float32Array.from(rows.flat())) };
    return { argMax: Int32Array.from(rows, (row) => row.indexOf(Math.max(...row))), logits: null };
  }
}
