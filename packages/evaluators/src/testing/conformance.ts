import type { Routing } from '@mixsga/backend';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { LanguageModel, LikelihoodModel } from '../language-model';

/** A model to try, with the size of its vocabulary and the way to free it. */
export interface ModelUnderTest<Model extends LikelihoodModel = LikelihoodModel> {
  readonly model: Model;
  readonly vocabularySize: number;
  dispose(): void;
}

const ROUTINGS: Routing[] = ['decode', 'prefill'];
const WINDOWS = 2;

/**
 * What evaluators rely on in a LikelihoodModel, as vitest tests: call it in a test file for each kind of model.
 *
 * @param create makes the model on the backend it is to be tried on, inside `beforeAll`
 * @param tolerance allowed difference of two log-likelihoods, in nats, that should be equal
 */
export function describeLikelihoodModel(name: string, create: () => Promise<ModelUnderTest>, tolerance = 1e-4): void {
  describe(`${name} as a LikelihoodModel`, () => {
    let subject: ModelUnderTest;
    let length: number;

    beforeAll(async () => {
      subject = await create();
      length = Math.min(12, subject.model.contextLength);
    });
    afterAll(() => subject.dispose());

    /** Windows of length + 1 token ids that visit the whole vocabulary. */
    const stream = () => windowsOf(subject.vocabularySize, length + 1);
    const nll = async (rows: number[][], routing: Routing, targets = rows.map((row) => row.slice(1))) => {
      const inputs = rows.map((row) => row.slice(0, targets[0]!.length));
      const { nll, greedy } = await subject.model.likelihood(flat(inputs), flat(targets), { windows: rows.length, routing });
      expect(nll).toHaveLength(flat(targets).length);
      if (greedy) expect(greedy).toHaveLength(nll.length);
      return rowsOf(nll, rows.length);
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

    it.each(ROUTINGS)('treats windows apart (%s)', async (routing) => {
      const together = await nll(stream(), routing);
      for (const [row, tokens] of stream().entries()) expectClose((await nll([tokens], routing))[0]!, together[row]!);
    });

    it('is causal under decode routing', async () => {
      const rows = stream();
      const changed = rows.map((row) => row.with(length - 1, (row[length - 1]! + 1) % subject.vocabularySize));
      const targets = rows.map((row) => row.slice(1));
      const before = await nll(rows, 'decode', targets);
      const after = await nll(changed, 'decode', targets);
      for (let row = 0; row < WINDOWS; row++) expectClose(after[row]!.slice(0, -1), before[row]!.slice(0, -1));
    });

    it('gives every token one expert, in prefill at the asked ratios', async () => {
      const { ratios, layerRatios } = subject.model.kv;
      const inputs = flat(stream().map((row) => row.slice(0, length)));
      for (const routing of ROUTINGS) {
        const layers = await subject.model.routingOf(inputs, { windows: WINDOWS, routing });
        expect(layers.length > 0).toBe(ratios.length > 1);
        for (const [layer, { prefill, decode, scores }] of layers.entries()) {
          for (const decisions of [prefill, decode]) {
            expect(decisions).toHaveLength(inputs.length);
            for (const e of decisions) expect(ratios[e]).toBeDefined();
          }
          if (scores) expect(scores).toHaveLength(inputs.length * ratios.length);
          for (const row of rowsOf(prefill, WINDOWS)) {
            (layerRatios?.[layer] ?? ratios).forEach((ratio, e) => {
              const taken = row.filter((expert) => expert === e).length;
              expect(Math.abs(taken - ratio * length)).toBeLessThan(ratios.length); // each ceiling adds less than one
            });
          }
        }
      }
    });

    it('has KV traits that agree with each other', () => {
      const { ratios, groupSizes, budget, bytesPerToken, bytesPerTokenFull } = subject.model.kv;
      expect(groupSizes).toHaveLength(ratios.length);
      expect(ratios.reduce((sum, ratio) => sum + ratio, 0)).toBeCloseTo(1, 6);
      expect(bytesPerToken / bytesPerTokenFull).toBeGreaterThanOrEqual(budget - 0.5001 / bytesPerTokenFull); // rounded to a byte
      expect(bytesPerToken / bytesPerTokenFull).toBeLessThan(budget + 0.02); // room for the expert index only
    });
  });
}

/** What evaluators rely on in a LanguageModel, that of a LikelihoodModel included: see {@link describeLikelihoodModel}. */
export function describeLanguageModel(name: string, create: () => Promise<ModelUnderTest<LanguageModel>>, tolerance = 1e-4): void {
  describeLikelihoodModel(name, create, tolerance);

  describe(`${name} as a LanguageModel`, () => {
    let subject: ModelUnderTest<LanguageModel>;
    let inputs: Int32Array;
    let targets: Int32Array;
    const decode = { windows: WINDOWS, routing: 'decode' } as const;

    beforeAll(async () => {
      subject = await create();
      const rows = windowsOf(subject.vocabularySize, Math.min(12, subject.model.contextLength) + 1);
      inputs = flat(rows.map((row) => row.slice(0, -1)));
      targets = flat(rows.map((row) => row.slice(1)));
    });
    afterAll(() => subject.dispose());

    it('gives the likelihoods of decode routing through a cache that keeps all', async () => {
      const { nll } = await subject.model.likelihood(inputs, targets, decode);
      const { nll: streamed, kvBytesUsed } = await subject.model.streamNll(inputs, targets, { windows: WINDOWS, cache: 'none' });
      expect(kvBytesUsed).toHaveLength(WINDOWS);
      for (const bytes of kvBytesUsed) expect(bytes).toBeGreaterThan(0);
      nll.forEach((value, i) => expect(Math.abs(streamed[i]! - value)).toBeLessThanOrEqual(tolerance * (1 + value)));
    });

    it('lets a collapsed token change what comes from its place on only', async () => {
      const { nll } = await subject.model.likelihood(inputs, targets, decode);
      const length = nll.length / WINDOWS;
      const collapsed = Math.floor(length / 2);
      const changed = await subject.model.likelihood(inputs, targets, { ...decode, collapsed });
      for (const [row, values] of rowsOf(changed.nll, WINDOWS).entries()) {
        expect(values.every(Number.isFinite)).toBe(true);
        for (let t = 0; t < collapsed; t++) expect(Math.abs(values[t]! - nll[row * length + t]!)).toBeLessThanOrEqual(tolerance);
      }
    });

    it('generates the likeliest tokens, as its likelihoods have them', async () => {
      const prompt = inputs.slice(0, 3);
      const maxNewTokens = Math.min(4, subject.model.contextLength - prompt.length);
      const generation = subject.model.generate([prompt], { maxNewTokens, temperature: 0 });
      const events: number[] = [];
      for await (const { token } of generation) events.push(token);
      expect(generation.tokens(0)).toEqual(events);
      expect(events).toHaveLength(maxNewTokens);
      // Only tokens after the first: the prompt is prefilled, and that is routed by expert choice.
      const routing = subject.model.kv.ratios.length === 1 ? 'decode' : 'prefill';
      const { greedy } = await subject.model.likelihood(prompt, Int32Array.of(...prompt.slice(1), events[0]!), { windows: 1, routing });
      expect(greedy.at(-1)).toBe(1);
      expect(generation.stats()).toMatchObject({ promptTokens: 3, newTokens: maxNewTokens, tokensSeen: 3 + maxNewTokens - 1 });
      expect(generation.stats().kvBytesUsed).toBeGreaterThan(0);
    });

    it('draws for each prompt by its own seed', async () => {
      const drawn = async (prompts: Int32Array[], seeds: number[]) => {
        const generation = subject.model.generate(prompts, { maxNewTokens: 4, temperature: 1, seeds });
        for await (const { sequence } of generation) expect(prompts[sequence]).toBeDefined();
        return prompts.map((_, sequence) => generation.tokens(sequence));
      };
      const [first, second] = [inputs.slice(0, 3), inputs.slice(4, 6)];
      const together = await drawn([first, second], [7, 8]);
      expect(await drawn([second], [8])).toEqual([together[1]]);
      expect(await drawn([second, first], [8, 7])).toEqual(together.toReversed());
    });

    it('has a tokenizer of its own vocabulary', () => {
      const { tokenizer, prefixToken, stopTokens } = subject.model;
      const ids = tokenizer.encode('a cab', { addSpecialTokens: false });
      for (const id of [...ids, ...stopTokens, prefixToken ?? 0]) expect(id).toBeLessThan(subject.vocabularySize);
      expect(tokenizer.encode('a cab').slice(-ids.length)).toEqual(ids);
    });
  });
}

function windowsOf(vocabularySize: number, length: number): number[][] {
  return Array.from({ length: WINDOWS }, (_, row) => Array.from({ length }, (_, t) => (row * 31 + t * t * 7 + t) % vocabularySize));
}

function flat(rows: readonly (readonly number[])[]): Int32Array {
  return Int32Array.from(rows.flat());
}

function rowsOf(values: ArrayLike<number>, rows: number): number[][] {
  const length = values.length / rows;
  return Array.from({ length: rows }, (_, row) => Array.from({ length }, (_, t) => values[row * length + t]!));
}
