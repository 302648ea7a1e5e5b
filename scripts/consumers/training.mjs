import assert from 'node:assert/strict';
import { startBackend } from '@mixsga/backend';
import { createTrainable, parseModelConfig, randomParameters } from '@mixsga/models';
import { BatchSampler, Trainer } from '@mixsga/training';
import { readFileRows } from '@mixsga/training/node';

// A step of a tiny model, from tokens in memory.
await startBackend('cpu');
const sizes = { vocab_size: 8, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, ffn_dim: 8, max_position_embeddings: 8 };
const config = parseModelConfig({ model_type: 'opt', ...sizes }, 'config.json');
const model = await createTrainable(config, randomParameters(config, 1));
const trainer = new Trainer(model, {
  schedule: { learningRate: 0.01, warmupSteps: 1, totalSteps: 2, minLearningRateRatio: 0 },
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
  clip: 1,
  routerLoss: { alpha: 0 },
  sequenceLength: 8,
});
const sampler = new BatchSampler(Int32Array.from({ length: 32 }, (_, i) => i % 8), { batchSize: 2, sequenceLength: 8, seed: 1 });
const { step, lm } = await trainer.takeStep([sampler.next()]);
assert.equal(step, 1);
assert.ok(Math.abs(lm - Math.log(8)) < 0.1, String(lm));
assert.equal(typeof readFileRows, 'function');
