// The operations of TensorFlow.js itself that this project relies on. Each backend of tfjs gets some of them wrong or
// lacks them; what is mended or refused in src/platform is held here too.
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { integers, normal, normalWith } from './inputs';
import type { KernelCase } from './kernel-case';

type Run = KernelCase['run'];
type Shape = readonly number[];

/** A case whose inputs are normal draws of the given shapes, differentiable in all of them unless told otherwise. */
function onNormal(kernel: string, name: string, shapes: readonly Shape[], run: Run, extra: Partial<KernelCase> = {}): KernelCase {
  return {
    kernel,
    name,
    inputs: (random) => shapes.map((shape) => normal(random, [...shape])),
    run,
    differentiable: shapes.map((_, i) => i),
    ...extra,
  };
}

const forward: Partial<KernelCase> = { differentiable: undefined };
/** Away from 0, where the derivative jumps or the function ends. */
const positive: Partial<KernelCase> = { inputs: (random) => [tf.add(tf.abs(normal(random, [40])), 0.5)] };
const signed: Partial<KernelCase> = {
  inputs: (random) => [tf.mul(tf.add(tf.abs(normal(random, [40])), 0.5), tf.sub(tf.mul(integers(random, [40], 2), 2), 1))],
};
const ids = (random: Parameters<KernelCase['inputs']>[0], count = 6, limit = 8) => integers<tf.Tensor1D>(random, [count], limit);

const products: KernelCase[] = [
  onNormal('matMul', '17x33 · 33x9', [[17, 33], [33, 9]], (a, b) => tf.matMul(a!, b!)),
  onNormal('matMul', '17x33 · (9x33)ᵀ', [[17, 33], [9, 33]], (a, b) => tf.matMul(a!, b!, false, true)),
  onNormal('matMul', '(33x17)ᵀ · 33x9', [[33, 17], [33, 9]], (a, b) => tf.matMul(a!, b!, true)),
  onNormal('matMul', 'batches', [[2, 3, 4, 5], [2, 3, 5, 6]], (a, b) => tf.matMul(a!, b!)),
  onNormal('matMul', 'one batch for all', [[4, 5, 6], [1, 6, 3]], (a, b) => tf.matMul(a!, b!), forward),
  onNormal('matMul', 'both batches broadcast', [[4, 1, 5, 8], [1, 3, 8, 6]], (a, b) => tf.matMul(a!, b!), forward),
  onNormal('matMul', 'one batch broadcast inside', [[4, 1, 5, 8], [4, 3, 8, 6]], (a, b) => tf.matMul(a!, b!), forward),
  {
    ...onNormal('matMul', 'NaN and infinities', [], (a, b) => tf.matMul(a!, b!), forward),
    inputs: (random) => [normalWith(random, [5, 6], [NaN, 1, 2, 3, 4, 5, Infinity]), normal(random, [6, 4])],
  },
  onNormal('einsum', 'bhqd,bhkd->bhqk', [[2, 3, 4, 5], [2, 3, 6, 5]], (a, b) => tf.einsum('bhqd,bhkd->bhqk', a!, b!), forward),
  onNormal('einsum', 'ij->ji', [[3, 4]], (a) => tf.einsum('ij->ji', a!), forward),
];

const indexing: KernelCase[] = [
  { kernel: 'gather', name: 'rows', inputs: (r) => [normal(r, [8, 5]), ids(r)], run: (x, i) => tf.gather(x!, i as tf.Tensor1D), differentiable: [0] },
  { kernel: 'gather', name: 'axis 1', inputs: (r) => [normal(r, [3, 8, 2]), ids(r)], run: (x, i) => tf.gather(x!, i as tf.Tensor1D, 1), differentiable: [0] },
  { kernel: 'gather', name: 'batchDims 1', inputs: (r) => [normal(r, [2, 8]), integers(r, [2, 3], 8)], run: (x, i) => tf.gather(x!, i as tf.Tensor2D, 1, 1) },
  { kernel: 'gather', name: 'batchDims 1, axis 2', inputs: (r) => [normal(r, [2, 3, 5, 4]), integers(r, [2, 6], 5)], run: (x, i) => tf.gather(x!, i as tf.Tensor2D, 2, 1) },
  { kernel: 'unsortedSegmentSum', name: '6x5 into 8', inputs: (r) => [normal(r, [6, 5]), ids(r)], run: (x, i) => tf.unsortedSegmentSum(x!, i as tf.Tensor1D, 8) },
  { kernel: 'unsortedSegmentSum', name: 'ids out of range', inputs: (r) => [normal(r, [6, 5]), integers(r, [6], 12, -2)], run: (x, i) => tf.unsortedSegmentSum(x!, i as tf.Tensor1D, 8) },
  { kernel: 'oneHot', name: 'int32', inputs: (r) => [ids(r)], run: (i) => tf.oneHot(i!, 9) },
  { kernel: 'oneHot', name: 'float32, other values', inputs: (r) => [ids(r)], run: (i) => tf.oneHot(i!, 6, 2.5, -0.5, 'float32') },
  { kernel: 'gatherND', name: '2 of 8x5', inputs: (r) => [normal(r, [8, 5]), integers(r, [2, 2], 5)], run: (x, i) => tf.gatherND(x!, i!) },
  { kernel: 'scatterND', name: 'rows', inputs: (r) => [normal(r, [3, 5])], run: (x) => tf.scatterND(tf.tensor2d([1, 4, 6], [3, 1], 'int32'), x!, [8, 5]) },
  onNormal('slice', '2x3 of 4x9', [[4, 9]], (x) => tf.slice(x!, [1, 2], [2, 3])),
  onNormal('concat', 'columns', [[3, 4], [3, 2]], (a, b) => tf.concat([a!, b!], 1)),
  onNormal('split', 'in 3', [[4, 9]], (x) => tf.split(x!, 3, 1)),
  onNormal('stack', 'of an unstack', [[3, 4, 5]], (x) => tf.stack(tf.unstack(x!, 0), 1)),
  onNormal('pad', '4x9', [[4, 9]], (x) => tf.pad(x!, [[1, 2], [0, 3]])),
  onNormal('tile', '2x1x5', [[2, 1, 5]], (x) => tf.tile(x!, [1, 4, 1])),
  onNormal('reverse', '3x4', [[3, 4]], (x) => tf.reverse(x!, 1)),
  onNormal('transpose', '4 dimensions', [[2, 3, 4, 5]], (x) => tf.transpose(x!, [0, 2, 1, 3])),
  onNormal('transpose', '5 dimensions', [[2, 3, 4, 2, 5]], (x) => tf.transpose(x!, [2, 0, 3, 1, 4]), forward),
];

const reductions: KernelCase[] = [
  onNormal('sum', 'axis 0', [[300, 7]], (x) => tf.sum(x!, 0)),
  onNormal('sum', '70000 elements', [[70_000]], (x) => tf.sum(x!), forward),
  onNormal('mean', 'and variance', [[6, 33]], (x) => Object.values(tf.moments(x!, -1, true))),
  onNormal('max', 'axis 1', [[5, 70]], (x) => tf.max(x!, 1), { step: 1e-4 }),
  onNormal('argMax', 'axis 1', [[5, 700]], (x) => tf.argMax(x!, 1), forward),
  onNormal('argMin', 'axis 0', [[5, 70]], (x) => tf.argMin(x!, 0), forward),
  onNormal('topk', '5 of 50', [[3, 50]], (x) => Object.values(tf.topk(x!, 5)), forward),
  onNormal('cumsum', 'rows', [[3, 70]], (x) => tf.cumsum(x!, 1)),
  onNormal('cumsum', 'exclusive, reverse', [[3, 70]], (x) => tf.cumsum(x!, 1, true, true)),
  onNormal('softmax', '5x700, large', [[5, 700]], (x) => tf.softmax(tf.mul(x!, 10)), forward),
  onNormal('softmax', '3x4x70', [[3, 4, 70]], (x) => tf.softmax(x!)),
  {
    ...onNormal('softmax', '-Infinity as a mask', [], (x) => tf.softmax(x!), forward),
    inputs: (random) => [normalWith(random, [3, 4], [0.5, -Infinity, -Infinity])],
  },
  onNormal('logSoftmax', '5x70', [[5, 70]], (x) => tf.logSoftmax(x!)),
  onNormal('logSumExp', '5x70', [[5, 70]], (x) => tf.logSumExp(x!, 1)),
];

const elementwise: KernelCase[] = [
  onNormal('add', 'broadcast', [[3, 4, 5], [4, 1]], (a, b) => tf.add(a!, b!)),
  onNormal('mul', 'broadcast', [[3, 1, 5], [4, 1]], (a, b) => tf.mul(a!, b!)),
  { ...onNormal('div', 'with zeros', [], (a, b) => tf.div(a!, b!), forward), inputs: (r) => [normalWith(r, [6], [0, 1, -1]), normalWith(r, [6], [0, 0, 0])] },
  onNormal('where', 'broadcast', [[4, 5], [1, 5]], (a, b) => tf.where(tf.less(tf.reshape(tf.range(0, 4), [4, 1]), 2), a!, b!), forward),
  onNormal('where', 'same shapes', [[4, 5], [4, 5]], (a, b) => tf.where(tf.tensor2d(new Array(20).fill(0).map((_, i) => i % 3), [4, 5], 'bool'), a!, b!)),
  onNormal('erf', '40', [[40]], (x) => tf.erf(x!)),
  onNormal('tanh', '40', [[40]], (x) => tf.tanh(x!)),
  onNormal('sigmoid', '40', [[40]], (x) => tf.sigmoid(x!)),
  onNormal('exp', '40', [[40]], (x) => tf.exp(x!)),
  onNormal('relu', '40', [], (x) => tf.relu(x!), { ...signed, differentiable: [0] }),
  onNormal('log', '40', [], (x) => tf.log(x!), { ...positive, differentiable: [0] }),
  onNormal('rsqrt', '40', [], (x) => tf.rsqrt(x!), { ...positive, differentiable: [0] }),
  onNormal('pow', '40', [], (x) => tf.pow(x!, 3), { ...positive, differentiable: [0] }),
  onNormal('sin', 'and cos', [[40]], (x) => tf.mul(tf.sin(x!), tf.cos(x!))),
  onNormal('cast', 'to int32', [[40]], (x) => tf.cast(tf.mul(x!, 9), 'int32'), forward),
  { kernel: 'compare', name: 'int32', inputs: (r) => [ids(r)], run: (i) => tf.cast(tf.logicalAnd(tf.equal(i!, 3), tf.greaterEqual(i!, 0)), 'int32') },
  { kernel: 'floorDiv', name: 'int32', inputs: (r) => [integers(r, [20], 30, -30), integers(r, [20], 9, 1)], run: (a, b) => tf.floorDiv(a!, b!) },
  { kernel: 'range', name: 'int32', inputs: () => [], run: () => tf.range(0, 9, 1, 'int32') as Tensor },
  onNormal('bandPart', 'lower triangle', [[6, 6]], (x) => tf.linalg.bandPart(x as tf.Tensor2D, -1, 0), forward),
];

/** The stock operations that this project relies on. */
export const stockCases: readonly KernelCase[] = [...products, ...indexing, ...reductions, ...elementwise];
