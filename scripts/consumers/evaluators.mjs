import assert from 'node:assert/strict';
import { startBackend } from '@mixsga/backend';
import { perplexity } from '@mixsga/evaluators';
import * as tf from '@tensorflow/tfjs-core';

await startBackend('cpu');
// A model of eight equally likely tokens.
const model = { contextLength: 4, tokenNll: (inputs) => tf.fill(inputs.shape, Math.log(8)) };
const result = await perplexity(model, Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7), { routing: 'decode' });
assert.ok(Math.abs(result.perplexity - 8) < 1e-4);
