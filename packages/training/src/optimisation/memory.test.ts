import { startBackend } from '@mixsga/backend';
import { createTrainable, parseModelConfig, randomParameters, trainingMemory } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Trainer } from './trainer';

/*
 * What a step takes of the heap, against the estimate, and what is said where the heap has no more. What is allocated in the heap is
 * counted, which is why this is a file, and so a process, of its own.
 */

/** Between estimate and measurement, either way. */
const FACTOR = 1.35;

interface Heap {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

let heap: Heap;
const held = { now: 0, most: 0 };

beforeAll(async () => {
  await startBackend('wasm');
  heap = (tf.backend() as unknown as { wasm: Heap }).wasm;
  const [malloc, free, sizes] = [heap._malloc.bind(heap), heap._free.bind(heap), new Map<number, number>()];
  heap._malloc = (bytes) => {
    const start = malloc(bytes);
    sizes.set(start >>> 0, bytes);
    held.now += bytes;
    held.most = Math.max(held.most, held.now);
    return start;
  };
  heap._free = (start) => {
    held.now -= sizes.get(start >>> 0) ?? 0;
    sizes.delete(start >>> 0);
    free(start);
  };
});

const opt = { model_type: 'opt', vocab_size: 300, hidden_size: 96, num_hidden_layers: 3, num_attention_heads: 8, ffn_dim: 384, max_position_embeddings: 256 };
const llama = {
  ...{ model_type: 'llama', vocab_size: 300, hidden_size: 96, num_hidden_layers: 3, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 16 },
  ...{ intermediate_size: 256, max_position_embeddings: 256, tie_word_embeddings: true },
};

interface Size {
  readonly batchSize: number;
  readonly sequenceLength: number;
  readonly accumulate?: number;
}

async function withTrainer(json: object, { batchSize, sequenceLength, accumulate = 1 }: Size, body: (step: () => Promise<unknown>) => Promise<void>): Promise<void> {
  const config = parseModelConfig(json as never, 'test');
  const model = await createTrainable(config, randomParameters(config, 1));
  const trainer = new Trainer(model, {
    schedule: { learningRate: 1e-3, minLearningRateRatio: 0, warmupSteps: 1, totalSteps: 9 },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    ...{ clip: 1, routerLoss: { alpha: 3 }, sequenceLength },
  });
  const ids = (shift: number) => Int32Array.from({ length: batchSize * sequenceLength }, (_, i) => (i + shift) % 50);
  try {
    await body(() => trainer.takeStep(Array.from({ length: accumulate }, () => ({ inputs: ids(0), targets: ids(1) }))));
  } finally {
    trainer.dispose();
    model.dispose();
  }
}

describe('the estimate of what training takes', () => {
  it.each<[string, object, Size]>([
    ['OPT', opt, { batchSize: 4, sequenceLength: 128 }],
    ['OPT, in a longer sequence', opt, { batchSize: 1, sequenceLength: 256 }],
    ['OPT with a large vocabulary', { ...opt, vocab_size: 6000 }, { batchSize: 2, sequenceLength: 64 }],
    ['OPT, adding up batches', opt, { batchSize: 2, sequenceLength: 64, accumulate: 3 }],
    ['OPT with experts', { ...opt, mixsga: { attention: 'mixsga:3:1:6' } }, { batchSize: 4, sequenceLength: 128 }],
    ['OPT with grouped heads', { ...opt, mixsga: { attention: 'gqa:2' } }, { batchSize: 4, sequenceLength: 128 }],
    ['OPT with latents', { ...opt, mixsga: { attention: 'latent:1@8' } }, { batchSize: 4, sequenceLength: 128 }],
    ['Llama', llama, { batchSize: 4, sequenceLength: 128 }],
    ['Qwen 3', { ...llama, model_type: 'qwen3' }, { batchSize: 4, sequenceLength: 128 }],
    ['OLMo 2', { ...llama, model_type: 'olmo2' }, { batchSize: 4, sequenceLength: 128 }],
    ['Gemma 3', { ...llama, model_type: 'gemma3_text' }, { batchSize: 4, sequenceLength: 128 }],
    ['Llama, with wide layers', { ...llama, intermediate_size: 1024 }, { batchSize: 4, sequenceLength: 64 }],
    ['Gemma 2', { ...llama, model_type: 'gemma2', query_pre_attn_scalar: 16 }, { batchSize: 4, sequenceLength: 128 }],
  ])('is what is measured: %s', async (_, json, size) => {
    const before = held.now;
    const { fixed, perSequence } = trainingMemory(parseModelConfig(json as never, 'test'), size);
    const estimate = fixed + size.batchSize * perSequence;
    await withTrainer(json, size, async (step) => {
      held.most = held.now;
      await step();
    });
    const measured = held.most - before;
    expect(estimate / measured).toBeGreaterThan(1 / FACTOR);
    expect(estimate / measured).toBeLessThan(FACTOR);
  });
});

describe('a heap that is full', () => {
  const taken: number[] = [];
  afterAll(() => taken.forEach((start) => heap._free(start)));

  it('is one line with the batch and what to lower', async () => {
    await withTrainer(opt, { batchSize: 4, sequenceLength: 128 }, async (step) => {
      // All but some megabytes, without a byte of them being written.
      for (let bytes = 2 ** 30; bytes >= 2 ** 22; bytes /= 2) {
        try {
          for (;;) taken.push(heap._malloc(bytes));
        } catch {
          // half as much
        }
      }
      await expect(step()).rejects.toThrow(
        /^training: step 1 with a batch of 4 sequences of up to 128 tokens: expected to fit into memory, and there is none left; lower batchSize \(accumulate adds batches up\) or sequenceLength$/,
      );
    });
  });
});
