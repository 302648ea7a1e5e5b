import { expectOptions, nextTask, type OptionNames } from '@mixsga/backend';
import type { Decoder } from './generation/decoder';

export interface StreamOptions {
  /** Windows, each with a cache of its own. */
  readonly windows: number;
  /** The policy, such as `h2o:0.6`, which keeps its share of a window's length. Default: keep all. */
  readonly eviction?: string;
  /** Bytes that the cache of a window may hold, see `CacheOptions`. Default: no limit. */
  readonly kvBudget?: number;
  readonly kvPolicy?: string;
  /** Aborts between two tokens: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How much is done, from 0 to 1, after each token. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export const STREAM_OPTIONS: OptionNames<StreamOptions> = { windows: true, eviction: true, kvBudget: true, kvPolicy: true, signal: true, onProgress: true };

/** What windows cost that went token by token through caches. */
export interface StreamedNll {
  /** −log p(target) in nats: row-major [windows, T]. */
  readonly nll: Float32Array;
  /** Bytes that the cache of each window used after its last token: see `KvCache.bytes`. */
  readonly kvBytesUsed: readonly number[];
}

/**
 * The likelihoods of some windows, each token decoded on its own into a cache of its window. `inputs` and `targets` are row-major
 * [windows, T].
 *
 * @throws ArgumentError when there is no such policy, or the budget is too small for a window
 */
export async function streamNll(
  decoder: Decoder,
  inputs: Int32Array,
  targets: Int32Array,
  options: StreamOptions,
): Promise<StreamedNll> {
  expectOptions('streamNll', options, STREAM_OPTIONS);
  const { windows, eviction, kvBudget, kvPolicy, signal, onProgress } = options;
  const length = inputs.length / windows;
  const size = decoder.vocabularySize;
  const nll = new Float32Array(inputs.length);
  const caches = Array.from({ length: windows }, () => decoder.createCache({ eviction, kvBudget, kvPolicy, maxTokens: length }));
  try {
    for (let t = 0; t < length; t++) {
      await nextTask();
      signal?.throwIfAborted();
      const tokens = Int32Array.from(caches, (_, window) => inputs[window * length + t]!);
      const { values } = await decoder.step(tokens, caches, { want: 'values' });
      for (let window = 0; window < windows; window++) {
        const at = window * length + t;
        nll[at] = crossEntropy(values!.subarray(window * size, (window + 1) * size), targets[at]!);
      }
      onProgress?.((t + 1) / length);
    }
    return { nll, kvBytesUsed: caches.map((cache) => cache.bytes().used) };
  } finally {
    for (const cache of caches) cache.dispose();
  }
}

function crossEntropy(logits: Float32Array, target: number): number {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return largest + Math.log(sum) - logits[target]!;
}
