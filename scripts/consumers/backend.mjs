import assert from 'node:assert/strict';
import { describeBackends, linear, startBackend } from '@mixsga/backend';
import { checkKernelCase, kernelCases } from '@mixsga/backend/testing';
import * as tf from '@tensorflow/tfjs-core';

await startBackend('wasm');
const y = linear(tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4], [5, -6]]), null, 'relu');
assert.deepEqual(await y.array(), [[11, 0]]);

// Every gradient of TensorFlow.js is there in plain Node, and the kernels that its wasm backend lacks.
const x = tf.tensor2d([[1, 2], [3, 4]]);
const gradientOf = (f) => tf.grad((input) => tf.sum(f(input)))(x).array();
assert.deepEqual(await gradientOf((a) => tf.matMul(a, a)), [[7, 11], [9, 13]]);
assert.deepEqual(await gradientOf((a) => tf.gather(a, [1, 1, 0])), [[1, 1], [2, 2]]);
assert.deepEqual(await gradientOf((a) => tf.mul(tf.softmax(tf.sub(a, a)), [[4, 0], [0, 4]])), [[0, 0], [0, 0]]);
assert.deepEqual(await gradientOf((a) => tf.conv2d(tf.reshape(a, [1, 2, 2, 1]), tf.ones([1, 1, 1, 1]), 1, 'same')), [[1, 1], [1, 1]]);
assert.deepEqual(await tf.einsum('ij->ji', x).array(), [[1, 3], [2, 4]]);

const reports = await describeBackends();
assert.deepEqual(reports.map(({ name }) => name), ['wasm', 'cpu', 'webgpu', 'cuda']);
assert.equal(tf.getBackend(), 'wasm');
for (const { name, available, reason, install } of reports) assert.ok(available || (reason && install), name);

const [kernelCase] = kernelCases;
assert.equal((await checkKernelCase(kernelCase, 'wasm')).outputs.status, 'passed');
