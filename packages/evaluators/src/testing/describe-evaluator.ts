import { ArgumentError } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';

import type { EvaluationData, EvaluationOptions, Evaluator } from '../evaluator';
import type { LanguageModel } from '../language-model';
import { runEvaluator, type SampleStore } from '../run';

/** What an evaluator is tried on: data of 3 items or more. */
export interface EvaluatorCase {
  readonly model: LanguageModel;
  readonly data: EvaluationData;
  readonly options?: Partial<EvaluationOptions>;
}

/**
 * What runs rely on in an Evaluator, as vitest tests: call it in a test file for each.
 *
 * @param create makes the case, inside `beforeAll`
 */
export function describeEvaluator(evaluator: Evaluator, create: () => Promise<EvaluatorCase> | EvaluatorCase): void {
  describe.each(['decode', 'prefill'] as const)(`evaluator ${evaluator.name} (%s)`, (routing) => {
    let model: LanguageModel;
    let data: EvaluationData;
    let options: EvaluationOptions;
    const run = (more: Partial<EvaluationOptions> & { store?: SampleStore<object> } = {}) =>
      runEvaluator(evaluator, model, data, { ...options, ...more });

    beforeAll(async () => {
      const subject = await create();
      ({ model, data } = subject);
      options = { ...subject.options, routing };
    });

    it('says what it is', () => {
      expect(evaluator.name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(evaluator.description).toMatch(/^[^\n]{10,}$/);
      expect(evaluator.definition).toMatch(/^[^\n]{10,}$/);
      expect(evaluator.version).toBeGreaterThanOrEqual(1);
      expect(evaluator.dataset === undefined || evaluator.reads === 'rows').toBe(true);
    });

    it('lists the same items each time', () => {
      const items = evaluator.items(model, data, options);
      expect(items.length).toBeGreaterThanOrEqual(3);
      expect(evaluator.items(model, data, options)).toEqual(items);
    });

    it('gives a sample for each item and a summary, as plain JSON, the same each time and whatever the batch', async () => {
      const { samples, metrics, details } = await run();
      expect(samples).toHaveLength(evaluator.items(model, data, options).length);
      const result = { samples, metrics, details };
      expect(JSON.parse(JSON.stringify(result))).toEqual(result);
      for (const value of Object.values(metrics)) expect(value === null || Number.isFinite(value)).toBe(true);
      for (const name of evaluator.higherIsBetter) expect(Object.keys(metrics)).toContain(name);
      for (const batchSize of [1, 2, 100]) expect(await run({ batchSize })).toEqual(result);
    });

    it('ends at any sample and resumes from it to the same summary', async () => {
      const whole = await run();
      for (let stop = 0; stop <= whole.samples.length; stop++) {
        // A store of lines of JSON that breaks off.
        const lines: string[] = [];
        const store = (room: number): SampleStore<object> => ({
          load: () => Promise.resolve(lines.map((line) => JSON.parse(line) as object)),
          append(samples) {
            if (lines.length + samples.length > room) return Promise.reject(new Error('no room'));
            for (const sample of samples) lines.push(JSON.stringify(sample));
            return Promise.resolve();
          },
        });
        const broken = run({ batchSize: 1, store: store(stop) });
        if (stop < whole.samples.length) await expect(broken).rejects.toThrow('no room');
        else await broken;
        expect(lines).toHaveLength(stop);
        expect(await run({ batchSize: 2, store: store(Infinity) })).toEqual(whole);
        expect(lines).toHaveLength(whole.samples.length);
      }
    });

    it('refuses options and data that make no sense', async () => {
      const other = evaluator.reads === 'rows' ? { name: 'other', tokens: Int32Array.of(1, 2, 3) } : { name: 'other', rows: [] };
      await expect(runEvaluator(evaluator, model, other, options)).rejects.toThrow(
        `${evaluator.name}: expected ${evaluator.reads === 'rows' ? 'the rows of a data set' : 'a text'}, and other is none`,
      );
      const empty = evaluator.reads === 'rows' ? { name: 'empty', rows: [] } : { name: 'empty', tokens: new Int32Array() };
      await expect(runEvaluator(evaluator, model, empty, options)).rejects.toThrow(ArgumentError);
      for (const more of [{ batchSize: 0 }, { batchSize: 1.5 }, { limit: 0 }]) {
        await expect(run(more)).rejects.toThrow(ArgumentError);
      }
      if (evaluator.reads === 'tokens') await expect(run({ windowLength: model.contextLength + 1 })).rejects.toThrow(ArgumentError);
      else expect((await run({ limit: 2 })).samples.length).toBeLessThan((await run()).samples.length);
      await expect(run({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    });
  });
}
