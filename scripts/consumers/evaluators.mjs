import assert from 'node:assert/strict';
import { perplexity } from '@mixsga/evaluators';

// A model of eight equally likely tokens.
const model = { contextLength: 4, likelihood: async (inputs) => ({ nll: new Float32Array(inputs.length).fill(Math.log(8)) }) };
const result = await perplexity(model, Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7), { routing: 'decode' });
assert.ok(Math.abs(result.perplexity - 8) < 1e-4);
