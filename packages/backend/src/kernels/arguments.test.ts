import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { ArgumentError } from '../errors';
import { startBackend } from '../platform/index';
import {
  adamwStep, causalAttention, embedding, expertChoice, gatedActivation, groupMean, layerNorm, linear, linearCrossEntropy, rmsNorm, rotate,
  tokenNll,
} from './index';

const floats = (...shape: number[]) => tf.zeros<tf.Rank.R2>(shape as [number, number]);
const vector = (size: number) => tf.zeros<tf.Rank.R1>([size]);
const ids = (...values: number[]) => tf.tensor1d(values, 'int32');
const attend = (q: Tensor2D, kv: Tensor2D, batch: number, heads: number, kvHeads: number) =>
  causalAttention(q, kv, kv, { batch, heads, kvHeads });
const adamw = (parameter: tf.Tensor, gradient: tf.Tensor, first: tf.Tensor) =>
  adamwStep(tf.variable(parameter), gradient, tf.variable(first), tf.variable(tf.zerosLike(parameter)), {
    learningRate: 1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, step: 1, gradientScale: 1,
  });

const mistakes: Record<string, [RegExp, () => unknown]> = {
  'linear: vector as x': [/^linear: expected x of shape \[\*, \*\], got \[3\]/, () => linear(vector(3) as unknown as Tensor2D, floats(2, 3), null)],
  'linear: transposed w': [/^linear: expected w of shape \[\*, 3\], got \[3, 2\]/, () => linear(floats(4, 3), floats(3, 2), null)],
  'linear: bias like x': [/^linear: expected bias of shape \[2\], got \[3\]/, () => linear(floats(4, 3), floats(2, 3), vector(3))],
  'linear: int32 x': [/^linear: expected x of type float32, got int32; cast it first/, () => linear(tf.zeros([4, 3], 'int32'), floats(2, 3), null)],
  'linear: int32 bias': [/^linear: expected bias of type float32/, () => linear(floats(4, 3), floats(2, 3), ids(1, 2))],
  'layerNorm: gamma too short': [/^layerNorm: expected gamma of shape \[3\], got \[2\]/, () => layerNorm(floats(4, 3), vector(2), vector(3))],
  'layerNorm: int32 beta': [/^layerNorm: expected beta of type float32/, () => layerNorm(floats(4, 3), vector(3), ids(1, 2, 3))],
  'embedding: float ids': [/^embedding: expected ids of type int32, got float32; cast it first/, () => embedding(floats(4, 3), vector(2))],
  'embedding: ids in two dimensions': [/^embedding: expected ids of shape \[\*\], got \[2, 2\]/, () => embedding(floats(4, 3), tf.zeros([2, 2], 'int32') as unknown as Tensor1D)],
  'embedding: id too large': [/^embedding: expected ids from 0 to 3, got 4 at element 1/, () => embedding(floats(4, 3), ids(3, 4))],
  'embedding: negative id': [/^embedding: expected ids .*got -1 at element 0/, () => embedding(floats(4, 3), ids(-1))],
  'causalAttention: heads that do not divide': [/^causalAttention: expected 5 query heads/, () => attend(floats(4, 8), floats(4, 8), 1, 5, 5)],
  'causalAttention: KV heads that do not divide': [/3 KV heads/, () => attend(floats(4, 8), floats(4, 6), 1, 4, 3)],
  'causalAttention: rows that are no batch': [/3 sequences/, () => attend(floats(4, 8), floats(4, 8), 3, 4, 4)],
  'causalAttention: no heads': [/0 query heads/, () => attend(floats(4, 8), floats(4, 8), 1, 0, 0)],
  'causalAttention: k of another width': [/^causalAttention: expected k of shape \[4, 4\], got \[4, 8\]/, () => attend(floats(4, 8), floats(4, 8), 1, 4, 2)],
  'causalAttention: no window': [/^causalAttention: expected a window of at least 1 token, got 0/, () => causalAttention(floats(4, 8), floats(4, 8), floats(4, 8), { batch: 1, heads: 2, kvHeads: 2, window: 0 })],
  'causalAttention: soft cap of 0': [/^causalAttention: expected a softCap above 0, got 0; leave it out for none/, () => causalAttention(floats(4, 8), floats(4, 8), floats(4, 8), { batch: 1, heads: 2, kvHeads: 2, softCap: 0 })],
  'rmsNorm: gain too short': [/^rmsNorm: expected gain of shape \[3\], got \[2\]/, () => rmsNorm(floats(4, 3), vector(2), 1e-6)],
  'rotate: odd heads': [/^rotate: expected angles of an even size that divides 6, for positions that divide 4, got \[4, 3\]/, () => rotate(floats(4, 6), floats(4, 3))],
  'rotate: positions that are no sequence': [/^rotate: .*got \[3, 2\]/, () => rotate(floats(4, 6), floats(3, 2))],
  'gatedActivation: up of another size': [/^gatedActivation: expected up of shape \[4, 6\], got \[4, 5\]/, () => gatedActivation(floats(4, 6), floats(4, 5), 'silu')],
  'linearCrossEntropy: infinite soft cap': [/^linearCrossEntropy: expected a softCap above 0, got Infinity/, () => linearCrossEntropy(floats(3, 2), floats(5, 2), ids(0, 4, 0), { softCap: Infinity })],
  'linearCrossEntropy: target too large': [/^linearCrossEntropy: expected targets below 5, got 5 at element 2/, () => linearCrossEntropy(floats(3, 2), floats(5, 2), ids(0, 4, 5))],
  'linearCrossEntropy: too few targets': [/^linearCrossEntropy: expected targets of shape \[3\], got \[2\]/, () => linearCrossEntropy(floats(3, 2), floats(5, 2), ids(0, 4))],
  'tokenNll: float targets': [/^tokenNll: expected targets of type int32/, () => tokenNll(floats(3, 2), floats(5, 2), vector(3))],
  'tokenNll: w of another size': [/^tokenNll: expected w of shape \[\*, 2\], got \[5, 3\]/, () => tokenNll(floats(3, 2), floats(5, 3), ids(0, 0, 0))],
  'tokenNll: target too large': [/^tokenNll: expected targets .*got 5 at element 0/, () => tokenNll(floats(1, 2), floats(5, 2), ids(5))],
  'groupMean: group size that does not divide': [/^groupMean: .*group sizes 1, 3 for 4 heads/, () => groupMean(floats(2, 8), ids(0, 0), { headDim: 2, groupSizes: [1, 3] })],
  'groupMean: group size 0': [/^groupMean: .*group sizes 0 for/, () => groupMean(floats(2, 8), ids(0, 0), { headDim: 2, groupSizes: [0] })],
  'groupMean: head size that does not divide': [/^groupMean: /, () => groupMean(floats(2, 8), ids(0, 0), { headDim: 3, groupSizes: [1] })],
  'groupMean: no such expert': [/^groupMean: expected assignment .*got 2 at element 1/, () => groupMean(floats(2, 8), ids(0, 2), { headDim: 2, groupSizes: [1, 2] })],
  'expertChoice: another number of ratios': [/^expertChoice: expected scores of shape \[\*, \*, 3\], got \[1, 2, 2\]/, () => expertChoice(tf.zeros([1, 2, 2]), [0.3, 0.3, 0.4])],
  'expertChoice: no expert': [/^expertChoice: /, () => expertChoice(tf.zeros([1, 2, 0]), [])],
  'expertChoice: negative ratio': [/^expertChoice: .*got -0.5:1.5/, () => expertChoice(tf.zeros([1, 2, 2]), [-0.5, 1.5])],
  'expertChoice: NaN ratio': [/^expertChoice: .*got NaN:1/, () => expertChoice(tf.zeros([1, 2, 2]), [NaN, 1])],
  'expertChoice: mask of another length': [/^expertChoice: expected mask of shape \[1, 2\], got \[1, 3\]/, () => expertChoice(tf.zeros([1, 2, 1]), [1], tf.ones([1, 3], 'int32'))],
  'adamwStep: gradient of another shape': [/^adamwStep: expected gradient of shape \[2, 3\], got \[3, 2\]/, () => adamw(floats(2, 3), floats(3, 2), floats(2, 3))],
  'adamwStep: moment of another shape': [/^adamwStep: expected first of shape \[2, 3\], got \[6\]/, () => adamw(floats(2, 3), floats(2, 3), vector(6))],
};

beforeAll(() => startBackend('wasm'));

test.each(Object.entries(mistakes))('%s', (_, [message, call]) => {
  const scope = () => tf.tidy(() => void call());
  expect(scope).toThrow(message);
  expect(scope).toThrow(ArgumentError);
});
