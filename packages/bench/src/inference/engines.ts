import { type InferenceRuntime, type KvType, SeededRandom, type WeightType } from '@mixsga/backend';
import { createDecoder, parseAttention } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import { type Contender, timeSteps } from '../contender';
import { fillCache } from './fill-cache';
import { NaiveOpt } from './naive-opt';
import type { RandomModel } from './random-model';
import { stepWeightBytes } from './weight-bytes';

/** A model ready to run, in one of the ways that are compared. */
export interface Engine {
  readonly attention: string;
  /** What computes: kernels of this project, their reference, or TensorFlow.js as it is mostly used. */
  readonly path: InferenceRuntime['path'] | 'naive';
  readonly weights: WeightType;
  /** Element type of keys and values. */
  readonly kv: KvType;
  /** Bytes of all its weights. */
  readonly weightBytes: number;
  /** Decode steps at a context that stays: what a step adds to the cache is taken out again. */
  decoding(context: number): DecodeContender;
  /** The same prompt again and again, each time into an empty cache. */
  prefilling(tokens: number): Contender;
  dispose(): void;
}

export interface DecodeContender extends Contender {
  facts(): DecodeFacts;
}

export interface DecodeFacts {
  /** Of the keys and values of the context, with the index of experts. */
  kvBytesUsed: number;
  kvBytesAllocated: number;
  /** Bytes of weights that a step reads, with the projections of the experts that its steps had. */
  weightBytes: number;
  /** What a step reads: these weights, and the keys and values of the context. */
  bytesPerToken: number;
  /** Share of the tokens and layers that each expert got in its steps; null where nothing is routed. */
  realisedRatios: number[] | null;
  /** Work given to the device for a step; null where there is none. */
  dispatchesPerToken: number | null;
}

/** The decoder of this project. */
export async function decoderEngine({ attention, config, values }: RandomModel, weights: WeightType, kv: KvType = 'f32'): Promise<Engine> {
  const { vocab_size: vocabulary, num_hidden_layers: layers } = config;
  const decoder = await createDecoder(config, values, { weights, kv });
  const { runtime } = decoder;
  const variant = parseAttention(attention);
  const label = `${attention} ${weights}${kv === 'f32' ? '' : `, ${kv} cache`}`;
  return {
    attention,
    path: decoder.path,
    weights,
    kv,
    weightBytes: decoder.weightBytes,
    decoding(context) {
      const cache = decoder.createCache();
      const { sizes, ratiosOf } = variant.experts ?? { sizes: [1], ratiosOf: () => [1] };
      fillCache(cache, { layers, ratiosOf, tokens: context });
      const { used, allocated } = cache.bytes();
      let kvBytesRead = 0;
      for (let layer = 0; layer < layers; layer++) {
        for (const { store, tokens } of cache.view(layer).segments) kvBytesRead += tokens * store.bytesPerToken;
      }
      const token = randomTokens(vocabulary);
      const counts = sizes.map(() => 0);
      let steps = 0;
      let dispatches = 0;
      return {
        label: `${label} at ${context}`,
        run: (seconds) => {
          const before = runtime.work.dispatches ?? 0;
          return timeSteps(
            seconds,
            () => decoder.step(token(1), [cache], { want: 'argMax' }),
            () => {
              for (let layer = 0; layer < layers; layer++) counts[cache.expertOf(layer, context)!]! += 1;
              cache.truncate(context);
              steps += 1;
            },
          ).finally(() => (dispatches += (runtime.work.dispatches ?? 0) - before));
        },
        facts() {
          const shares = counts.map((count) => count / (steps * layers));
          const weightBytes = stepWeightBytes(runtime, config, weights, shares);
          return {
            kvBytesUsed: used,
            kvBytesAllocated: allocated,
            weightBytes,
            bytesPerToken: weightBytes + kvBytesRead,
            realisedRatios: variant.experts && shares,
            dispatchesPerToken: runtime.work.dispatches === null ? null : dispatches / steps,
          };
        },
        dispose: () => cache.dispose(),
      };
    },
    prefilling(tokens) {
      const cache = decoder.createCache();
      const prompt = randomTokens(vocabulary)(tokens);
      return {
        label,
        run: (seconds) => timeSteps(seconds, () => decoder.prefill(prompt, cache, { want: 'argMax' }), () => cache.reset()),
        dispose: () => cache.dispose(),
      };
    },
    dispose: () => decoder.dispose(),
  };
}

/** Stock TensorFlow.js, see {@link NaiveOpt}. @param runtime tells what the weights take */
export function naiveEngine(runtime: InferenceRuntime, { attention, config, values }: RandomModel): Engine {
  const model = new NaiveOpt(config, values);
  const { vocab_size: vocabulary, num_hidden_layers: layers } = config;
  const label = `naive ${attention}`;
  const likeliest = async (ids: Int32Array, past: Parameters<NaiveOpt['forward']>[1]) => {
    const { logits, cache } = model.forward(ids, past);
    const best = tf.argMax(logits, 1);
    await best.data();
    tf.dispose([logits, best, cache]);
  };
  return {
    attention,
    path: 'naive',
    weights: 'f32',
    kv: 'f32',
    weightBytes: model.weightBytes,
    decoding(context) {
      const random = (seed: number) => tf.randomUniform<tf.Rank.R3>([model.kvHeads, context, model.headDim], -1.7, 1.7, 'float32', seed);
      const past = Array.from({ length: layers }, (_, layer) => ({ k: random(2 * layer + 1), v: random(2 * layer + 2) }));
      const token = randomTokens(vocabulary);
      const kvBytes = layers * 2 * 4 * past[0]!.k.size;
      const weightBytes = stepWeightBytes(runtime, config, 'f32', [1]);
      return {
        label: `${label} at ${context}`,
        run: (seconds) => timeSteps(seconds, () => likeliest(token(1), past)),
        facts: () => ({
          kvBytesUsed: kvBytes,
          kvBytesAllocated: kvBytes,
          weightBytes,
          bytesPerToken: weightBytes + kvBytes,
          realisedRatios: null,
          dispatchesPerToken: null,
        }),
        dispose: () => tf.dispose(past),
      };
    },
    prefilling(tokens) {
      const prompt = randomTokens(vocabulary)(tokens);
      return { label, run: (seconds) => timeSteps(seconds, () => likeliest(prompt, null)), dispose: () => {} };
    },
    dispose: () => model.dispose(),
  };
}

function randomTokens(vocabulary: number): (count: number) => Int32Array {
  const random = new SeededRandom(4);
  return (count) => Int32Array.from({ length: count }, () => random.nextInt(vocabulary));
}
