// What tests of decoders do again and again.
import type { KvCache } from '@mixsga/kv-cache';
import type { Decoder } from '../generation/decoder';

/** Takes tokens into a cache one by one; the logits after the last. */
export async function feed(decoder: Decoder, tokens: Int32Array, cache: KvCache): Promise<Float32Array> {
  let logits = new Float32Array(0);
  for (let t = 0; t < tokens.length; t++) {
    const { logits: values } = await decoder.step(tokens.subarray(t, t + 1), [cache], { want: 'logits' });
    logits = values!.slice() as Float32Array<ArrayBuffer>;
  }
  return logits;
}

/** The logits after some tokens, of which the first `prompt` were routed together, in one pass. */
export async function inOnePass(decoder: Decoder, tokens: Int32Array, prompt: number): Promise<Float32Array> {
  const cache = decoder.createCache();
  const { logits: values } = await decoder.prefill(tokens, cache, { promptTokens: prompt, want: 'logits' });
  cache.dispose();
  return values!.slice();
}

/** ‖a − b‖ / ‖b‖ */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
