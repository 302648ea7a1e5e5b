import assert from 'node:assert/strict';
import { linear, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';

await startBackend('wasm');
const y = linear(tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4], [5, -6]]), null, 'relu');
assert.deepEqual(await y.array(), [[11, 0]]);
