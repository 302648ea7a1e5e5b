import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { LanguageModel, Routing } from '../language-model';

/** A model to try, with the size of its vocabulary and the way to free it. */
export interface ModelUnderTest {
  model: LanguageModel;
  vocabularySize: number;
  dispose(): void;
}

const ROUTINGS: Routing[] = ['decode', 'prefill'];
const BATCH = 2;

/**
 * What evaluators rely on in a LanguageModel, as vitest tests: call it in a test file for each kind of model.
 *
 * @param create makes the model on the backend it is to be tried on, inside `beforeAll`
 * @param tolerance allowed difference of two log-likelihoods, in nats, that should be equal
 */
export function describeLanguageModel(name: string, create: () => Promise<ModelUnderTest>, tolerance = 1e-4): void {
  describe(`${name} as a LanguageModel`, () => {
    let subject: ModelUnderTest;
    let length: number;

    beforeAll(async () => {
      subject = await create();
      length = Math.min(12, subject.model.contextLength);
    });
    afterAll(() => subject.dispose());

    /** Token ids [BATCH, length + 1] that visit the whole vocabulary. */
    const stream = () =>
      Array.from({ length: BATCH }, (_, row) =>
        Array.from({ length: length + 1 }, (_, t) => (row * 31 + t * t * 7 + t) % subject.vocabularySize),
      );
    const nll = async (rows: number[][], routing: Routing, targets = rows.map((row) => row.slice(1))) => {
      const inputs = rows.map((row) => row.slice(0, targets[0]!.length));
      const result = tf.tidy(() =>
        subject.model.tokenNll(tf.tensor2d(inputs, undefined, 'int32'), tf.tensor2d(targets, undefined, 'int32'), { routing }),
      );
      expect(result.shape).toEqual([rows.length, targets[0]!.length]);
      const values = (await result.array()) as number[][];
      result.dispose();
      return values;
    };
    const expectClose = (actual: number[], expected: number[]) =>
      actual.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(tolerance));

    it.each(ROUTINGS)('gives the same finite log-likelihoods each time (%s)', async (routing) => {
      const first = await nll(stream(), routing);
      expect(first.flat().every((v) => Number.isFinite(v) && v >= 0)).toBe(true);
      expect(await nll(stream(), routing)).toEqual(first);
    });

    it.each(ROUTINGS)('gives probabilities that sum to 1 over the vocabulary (%s)', async (routing) => {
      const ids = Array.from({ length: subject.vocabularySize }, (_, id) => [id]);
      const values = await nll(ids.map(() => [1]), routing, ids);
      expect(values.flat().reduce((sum, v) => sum + Math.exp(-v), 0)).toBeCloseTo(1, 3);
    });

    it.each(ROUTINGS)('treats the rows of a batch apart (%s)', async (routing) => {
      const together = await nll(stream(), routing);
      for (const [row, tokens] of stream().entries()) expectClose((await nll([tokens], routing))[0]!, together[row]!);
    });

    it('is causal under decode routing', async () => {
      const rows = stream();
      const changed = rows.map((row) => row.with(length - 1, (row[length - 1]! + 1) % subject.vocabularySize));
      const targets = rows.map((row) => row.slice(1));
      const before = await nll(rows, 'decode', targets);
      const after = await nll(changed, 'decode', targets);
      for (let row = 0; row < BATCH; row++) expectClose(after[row]!.slice(0, -1), before[row]!.slice(0, -1));
    });

    it('gives every token one expert, in prefill at the asked ratios', async () => {
      const { ratios } = subject.model.kv;
      const inputs = tf.tensor2d(stream().map((row) => row.slice(0, length)), undefined, 'int32');
      const layers = ROUTINGS.flatMap((routing) => subject.model.routingOf(inputs, { routing }));
      for (const layer of layers) {
        for (const decisions of [layer.prefill, layer.decode]) {
          expect(decisions.shape).toEqual([BATCH, length]);
          expect(decisions.dtype).toBe('int32');
          for (const e of await decisions.data()) expect(ratios[e]).toBeDefined();
        }
        for (const row of (await layer.prefill.array()) as number[][]) {
          ratios.forEach((ratio, e) => {
            const taken = row.filter((expert) => expert === e).length;
            expect(Math.abs(taken - ratio * length)).toBeLessThan(ratios.length); // each ceiling adds less than one
          });
        }
        tf.dispose([layer.prefill, layer.decode, layer.scores ?? []]);
      }
      inputs.dispose();
    });

    it('has KV traits that agree with each other', () => {
      const { ratios, groupSizes, budget, bytesPerToken, bytesPerTokenFull } = subject.model.kv;
      expect(groupSizes).toHaveLength(ratios.length);
      expect(ratios.reduce((sum, ratio) => sum + ratio, 0)).toBeCloseTo(1, 6);
      expect(bytesPerToken / bytesPerTokenFull).toBeGreaterThanOrEqual(budget - 1e-9);
      expect(bytesPerToken / bytesPerTokenFull).toBeLessThan(budget + 0.02); // room for the expert index only
    });

    it('leaves no tensors behind', async () => {
      const before = tf.memory().numTensors;
      for (const routing of ROUTINGS) await nll(stream(), routing);
      const inputs = tf.tensor2d(stream().map((row) => row.slice(0, length)), undefined, 'int32');
      tf.dispose([inputs, ...subject.model.routingOf(inputs, { routing: 'decode' }).map((l) => [l.prefill, l.decode, l.scores ?? []])]);
      expect(tf.memory().numTensors).toBe(before);
    });
  });
}
