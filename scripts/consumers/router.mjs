import assert from 'node:assert/strict';
import { startBackend } from '@mixsga/backend';
import { createRouter } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';

await startBackend('cpu');
const router = createRouter('sigmoid', { hiddenSize: 4, ratios: [0.5, 0.5], seed: 1, layer: 0 });
const experts = router.assign(router.score(tf.randomNormal([1, 6, 4], 0, 1, 'float32', 1)));
assert.equal((await experts.data()).reduce((sum, expert) => sum + expert), 3);
