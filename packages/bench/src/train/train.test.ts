import { MixsgaError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

import { TRAIN_SHAPE } from './shape';
import { torchContender } from './torch-contender';
import { benchTrain, formatBenchTrain } from './train';

const TINY = { layers: 2, hiddenSize: 16, heads: 4, ffnSize: 32, vocabularySize: 64, sequenceLength: 8, batchSize: 2 };

describe('torchContender', () => {
  it.each([
    ['mixsga-no-such-python', /^mixsga-no-such-python is not installed; --python names another$/],
    [process.execPath, /: .+/], // a program that is there and is no Python
  ])('says in one line why %s cannot run', async (python, message) => {
    const error = await torchContender(python, TINY).then(
      () => expect.unreachable(),
      (e: unknown) => e as Error,
    );
    expect(MixsgaError.isInstance(error)).toBe(true);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });
});

describe('benchTrain', () => {
  it('measures every contender of the shape, tells who is absent, and frees its tensors', async () => {
    await startBackend('wasm');
    const before = tf.memory().numTensors;
    const said: string[] = [];
    const result = await benchTrain({ seconds: 0.01, python: 'mixsga-no-such-python', shape: TINY, onSlice: (text) => said.push(text) });
    expect(result.results.map(({ backend, attention }) => `${backend} ${attention}`)).toEqual([
      'wasm mha', 'wasm gqa:2', 'wasm mixsga:3:1:6', 'tfjs-wasm mha',
    ]);
    for (const { tokensPerSecond, spread, rounds, steps, threads } of result.results) {
      expect(threads).toBe(1);
      expect(rounds).toBe(5);
      expect(steps).toBeGreaterThanOrEqual(5);
      expect(spread.min).toBeGreaterThan(0);
      expect(tokensPerSecond).toBeGreaterThanOrEqual(spread.min);
      expect(tokensPerSecond).toBeLessThanOrEqual(spread.max);
    }
    expect(result.ratios.mhaOverPlainTfjs).toBeGreaterThan(0);
    expect(result.ratios.mhaOverTorch).toBeNull();
    expect(result.absent).toEqual([{ backend: 'torch', reason: 'mixsga-no-such-python is not installed; --python names another' }]);
    expect(said.at(-1)).toBe('round 5 of 5: tfjs-wasm mha');
    expect(tf.memory().numTensors).toBe(before);
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
    const text = formatBenchTrain(result);
    expect(text).toContain('torch did not run: mixsga-no-such-python is not installed; --python names another.');
    expect(text).not.toContain('PyTorch eager');
  });

  it('has the shape that its numbers are known by', () => {
    const { layers, hiddenSize: d, ffnSize, vocabularySize, sequenceLength } = TRAIN_SHAPE;
    const layer = 4 * (d * d + d) + 2 * d * ffnSize + ffnSize + d + 4 * d;
    expect(vocabularySize * d + (sequenceLength + 2) * d + layers * layer + 2 * d).toBe(1_072_128);
  });
});
