import { expectOptions, nextTask, type OptionNames } from '@mixsga/backend';
import { CACHE_SPEC, type StreamedNll, type StreamOptions } from '@mixsga/kv-cache';
import type { Decoder } from '../generation/decoder';

export const STREAM_OPTIONS: OptionNames<StreamOptions> = { windows: true, cache: CACHE_SPEC, signal: true, onProgress: true };

/**
 * The likelihoods of some windows, each token decoded on its own into a cache of its window. `inputs` and `targets` are row-major
 * [windows, T].
 *
 * @throws ArgumentError when there is no such policy, or its bytes are too few for a window
 */
export async function streamNll(
  decoder: Decoder,
  inputs: Int32Array,
  targets: Int32Array,
  options: StreamOptions,
): Promise<StreamedNll> {
  expectOptions('streamNll', options, STREAM_OPTIONS);
  const { windows, cache, signal, onProgress } = options;
  const length = inputs.length / windows;
  const size = decoder.vocabularySize;
  const nll = new Float32Array(inputs.length);
  const caches = Array.from({ length: windows }, () => decoder.createCache({ ...(cache !== undefined && { cache }), maxTokens: length }));
  try {
    for (let t = 0; t < length; t++) {
      await nextTask();
      signal?.throwIfAborted();
      const tokens = Int32Array.from(caches, (_, window) => inputs[window * length + t]!);
      const { logits: values } = await decoder.step(tokens, caches, { want: 'logits' });
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
