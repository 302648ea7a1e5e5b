import { ArgumentError, FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { evaluators } from '../catalog';
import { type DataRow, type EvaluationOptions, isHigherBetter, type RetrievalSettings, type RowSources } from '../evaluator';
import { harnessResults } from '../harness';
import type { GenerationOptions } from '../language-model';
import { runEvaluator } from '../run';
import { BigramModel } from '../testing';
import type { RetrievalRow } from './row';
import { rulerTaskNames } from './ruler';
import { firstNumberIs, stringMatchAll } from './score';

const { ruler, passkey } = evaluators;
/** A token for each character; the likeliest next one is the next in the alphabet. */
class Alphabet extends BigramModel {
  readonly asked: { prompt: string; context: string; options: GenerationOptions }[] = [];

  constructor(contextLength: number) {
    super({ logits: Array.from({ length: 26 }, (_, i) => Array.from({ length: 26 }, (_, j) => Number(j === (i + 1) % 26))), contextLength });
  }

  override generate(prompts: readonly ArrayLike<number>[], options: GenerationOptions) {
    prompts.forEach((tokens, i) => {
      const text = (some: ArrayLike<number>) => this.tokenizer.decode(some);
      this.asked.push({ prompt: text(tokens), context: text(Array.from(tokens).slice(0, options.contextTokens![i])), options });
    });
    return super.generate(prompts, options);
  }
}
const text = Array.from({ length: 3000 }, (_, i) => `word${i}${i % 9 === 8 ? '.' : ''}`).join(' \n');
const sources: RowSources = { text: async () => ({ name: 'numbered words', text }), onRow: (made, of) => void progress.push([made, of]) };
const progress: number[][] = [];
const made = async (evaluator: typeof ruler, contextLength: number, options: Partial<EvaluationOptions> = {}, model = new Alphabet(contextLength)) =>
  (await evaluator.makeRows!(model, { routing: 'decode', ...options }, sources)).map(({ value }) => value as RetrievalRow);
/** A model whose tokens are four characters each, or what else `encode` makes of a text. */
const withTokens = (contextLength: number, encode = (prompt: string) => new Array<number>(Math.ceil(prompt.length / 4)).fill(1)) =>
  Object.assign(new Alphabet(contextLength), { tokenizer: { encode, decode: () => '' } });
const row = (more: Partial<RetrievalRow> = {}, where = 'row 1'): DataRow => ({
  value: { task: 't', haystack: 'noise', index: 0, context: 'abc', question: 'defg', answerPrefix: 'xy', answers: ['z'], depth: null, length: 9, maxLength: 16, maxNewTokens: 2, ...more }, where,
});

describe('answers', () => {
  it('are greedy, of the context first, and may be of several lengths', async () => {
    const model = new Alphabet(16);
    const rows = [row({ maxNewTokens: 2 }), row({ maxNewTokens: 3, answers: ['Z', 'c'] }), row({ maxNewTokens: 3 })];
    const { samples, metrics } = await runEvaluator(ruler, model, { name: 'rows', rows }, { routing: 'decode', cache: 'h2o:0.5' });
    expect(samples.map(({ filtered_resps, score }) => [filtered_resps, score])).toEqual([[['z'], 1], [['z'], 0.5], [['z'], 1]]);
    expect(metrics).toEqual({ score: 2.5 / 3, score_stderr: expect.closeTo(1 / 6, 12), score_16: 2.5 / 3, score_16_stderr: expect.closeTo(1 / 6, 12) });
    expect(model.asked.map(({ prompt, context, options }) => [prompt, context, options.maxNewTokens, options.temperature, options.cache])).toEqual([
      ['abcdefgxy', 'abc', 2, 0, 'h2o:0.5'], ['abcdefgxy', 'abc', 3, 0, 'h2o:0.5'], ['abcdefgxy', 'abc', 3, 0, 'h2o:0.5'],
    ]);
  });

  it('show how far they are, token by token', async () => {
    const model = new Alphabet(32);
    const options = { routing: 'decode' } as const;
    const parts: number[] = [];
    const items = ruler.items(model, { name: 'rows', rows: [row({ maxNewTokens: 2 }), row({ maxNewTokens: 4 })] }, options);
    await ruler.measure(model, items, { ...options, onPart: (part) => void parts.push(part) });
    expect(parts).toEqual([0.25, 0.5, 0.625, 0.75]); // the second answer ends by itself
  });

  it('leave out the beginning of a prompt that is too long, and count it', async () => {
    const model = new Alphabet(9);
    const { details, samples } = await runEvaluator(ruler, model, { name: 'rows', rows: [row()] }, { routing: 'decode' });
    expect(model.asked[0]).toMatchObject({ prompt: 'cdefgxy', context: 'c' });
    expect([details.promptsCut, samples[0]!.prompt_tokens]).toEqual([1, 7]);
    await expect(runEvaluator(ruler, new Alphabet(8), { name: 'rows', rows: [row()] }, { routing: 'decode' })).rejects.toThrow(
      new FileError('row 1', 'expected question and answer to leave room for some of the context, got a prompt of 9 tokens in a context length of 8'),
    );
  });

  it('are averaged by task, then by length, and listed by depth', async () => {
    const rows = [
      row({ task: 'a', depth: 0.04 }), row({ task: 'a', depth: 0.01, answers: ['b'] }), row({ task: 'a', depth: 0.97 }), row({ task: 'a', depth: 0.96 }),
      row({ task: 'b', answers: ['b'] }), row({ task: 'b', answers: ['b'] }), row({ task: 'b', maxLength: 12 }),
    ];
    const { metrics, details } = await runEvaluator(ruler, new Alphabet(16), { name: 'rows', rows }, { routing: 'prefill', retrieval: { seed: 3 } });
    expect(metrics).toEqual({ score: 0.6875, score_stderr: null, score_12: 1, score_12_stderr: null, score_16: 0.375, score_16_stderr: expect.closeTo(0.125, 12) });
    expect(details).toEqual({
      samples: 7, lengths: [12, 16], haystacks: { a: 'noise', b: 'noise' }, promptsCut: 0, routing: 'prefill', seed: 3, eviction: null, kvBudget: null, kvPolicy: null,
      scores: [
        { task: 'a', length: 16, depth: 0, score: 0.5, samples: 2 }, { task: 'a', length: 16, depth: 1, score: 1, samples: 2 },
        { task: 'b', length: 16, depth: null, score: 0, samples: 2 }, { task: 'b', length: 12, depth: null, score: 1, samples: 1 },
      ],
    });
  });

  it('are better the higher they score, at each length', async () => {
    const model = new Alphabet(16);
    const evaluation = await runEvaluator(ruler, model, { name: 'rows', rows: [row()] }, { routing: 'decode' });
    const tasks = [{ ...evaluation, name: 'ruler', evaluator: ruler, data: 'rows', options: { routing: 'decode' as const } }];
    const { higher_is_better: better } = await harnessResults(
      { model: 'm', attention: 'mha', router: undefined, backend: 'wasm', weights: 'f32', kv: model.kv, contextLength: 16, tasks }, { startedAt: new Date(0), seconds: 1 },
    );
    expect(better).toEqual({ ruler: { score: true, score_16: true } });
    expect(isHigherBetter(evaluators.throughput, 'kv_4096')).toBe(false);
  });

  it.each<[Partial<Record<keyof RetrievalRow, unknown>>, string]>([
    [{ context: 7 }, "expected a text in 'context', got 7"],
    [{ answers: [] }, "expected a list of texts in 'answers', got []"],
    [{ depth: 1.5 }, "expected a number from 0 to 1, or null in 'depth', got 1.5"],
    [{ maxNewTokens: 0 }, "expected a whole number from 1 on in 'maxNewTokens', got 0"],
    [{ length: 2.5 }, "expected a whole number from 1 on in 'length', got 2.5"],
  ])('name a row with %j', (more, message) => {
    expect(() => ruler.items(new Alphabet(16), { name: 'rows', rows: [row(more as Partial<RetrievalRow>, 'row 7')] }, { routing: 'decode' })).toThrow(new FileError('row 7', message));
  });

  it('hold their references in any case, without control characters', () => {
    expect(stringMatchAll('\x01 Ab\x02CD', ['aB', 'bc', 'cd'])).toBeCloseTo(2 / 3, 12);
    expect(stringMatchAll('a\x1fb', ['a\nb'])).toBe(1);
  });

  it.each([[' 01234.', true], ['it is 01234', true], ['1234', false], ['9 01234', false], ['012345', false], ['', false]])('%j has the key 01234 first: %s', (answer, expected) => {
    expect(firstNumberIs(answer, '01234')).toBe(expected);
  });
});

describe('ruler', () => {
  it('makes all tasks, as many samples as asked for, of at most the length', async () => {
    progress.length = 0;
    const rows = await made(ruler, 4096, { limit: 2 }, withTokens(4096));
    expect(progress).toEqual(rows.map((_, i) => [i + 1, 22]));
    expect(rows.map(({ task }) => task)).toEqual(rulerTaskNames.flatMap((name) => [name, name]));
    for (const { task, context, question, answerPrefix, answers, length, maxLength, haystack } of rows) {
      expect(length).toBeLessThanOrEqual(maxLength + (task === 'ruler_fwe' ? 50 : 0));
      expect(maxLength).toBe(4096);
      if (task !== 'ruler_vt') for (const answer of answers) expect(context).toContain(answer);
      expect(answers).toHaveLength({ niah_multivalue: 4, niah_multiquery: 4, ruler_vt: 5, ruler_cwe: 10, ruler_fwe: 3 }[task] ?? 1);
      expect(answerPrefix).toMatch(/^\s+\S.*\S$/s);
      expect(question).toMatch(/^\n(What|Question: )/);
      expect(haystack).toMatch(/^(noise|needles|words|numbered words)$/);
    }
    expect(rows.find(({ task }) => task === 'niah_single_2')!.context).toContain('word0 word1 ');
  });

  it('draws other samples by another seed, and the same by the same', async () => {
    const retrieval = { tasks: ['niah_single_1', 'ruler_vt'], lengths: [2048] };
    const of = (seed?: number) => made(ruler, 2048, { limit: 1, retrieval: { ...retrieval, ...(seed !== undefined && { seed }) } }, withTokens(2048));
    expect(await of()).toEqual(await of());
    expect(await of(0)).not.toEqual(await of()); // NumPy's seed is another
    expect((await of(0))[0]).toEqual((await of())[0]);
    expect((await of(1))[0]).not.toEqual((await of())[0]);
  });

  it('fills lengths below 4,096 tokens by smaller pieces of a text', async () => {
    const [sample] = await made(ruler, 1500, { limit: 1, retrieval: { tasks: ['niah_single_2'] } });
    expect(sample!.maxLength).toBe(1500);
    expect(sample!.length).toBeGreaterThan(1200);
  });

  it.each<[string, number, string]>([
    ['niah_single_1', 300, 'ruler: expected a length with room for niah_single_1, whose shortest sample took'],
    ['ruler_vt', 1500, 'ruler: expected a tokenizer that takes the example of ruler_vt for at most 500 tokens, got one that takes more; leave the task out'],
    ['niah_single_2', 250, 'ruler: expected a length with room for niah_single_2, whose shortest sample took'],
    ['ruler_cwe', 400, 'ruler: expected a length with room for ruler_cwe, got 400; give a longer one, or leave the task out'],
    ['ruler_fwe', 150, 'ruler: expected a length with room for ruler_fwe, whose shortest sample took 200 tokens, got 150'],
  ])('says that %s has no room in %d tokens', async (task, length, message) => {
    const run = made(ruler, 4096, { retrieval: { tasks: [task], lengths: [length] } });
    await expect(run).rejects.toThrow(ArgumentError);
    await expect(run).rejects.toThrow(message);
  });

  it.each<[Partial<EvaluationOptions> & { retrieval?: RetrievalSettings }, string]>([
    [{ retrieval: { lengths: [4096, 8192] } }, "ruler: expected lengths from 1 to 4096 tokens, the model's context length, got 8192"],
    [{ retrieval: { lengths: [] } }, 'ruler: expected 1 or more different lengths, got []'],
    [{ retrieval: { lengths: [512, 512] } }, 'ruler: expected 1 or more different lengths, got [512, 512]'],
    [{ retrieval: { tasks: ['niah'] } }, 'ruler: expected tasks among niah_single_1, niah_single_2,'],
    [{ retrieval: { tasks: ['toString'] } }, 'got toString'],
    [{ retrieval: { seed: -1 } }, 'ruler: expected a seed from 0 to 4294967295, got -1'],
    [{ limit: 501 }, 'ruler: expected a limit from 1 to 500 samples, got 501'],
    [{ retrieval: { lenghts: [512] } as RetrievalSettings }, 'ruler: makeRows: retrieval: there is no option "lenghts"; did you mean lengths?'],
  ])('refuses %j', async (options, message) => {
    await expect(made(ruler, 4096, options)).rejects.toThrow(message);
  });

  it('ends with the signal', async () => {
    await expect(made(ruler, 4096, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('does not go on for ever with a tokenizer that gives texts no tokens', async () => {
    for (const task of ['niah_single_1', 'ruler_vt', 'ruler_fwe']) {
      const rows = made(ruler, 600, { retrieval: { tasks: [task] } }, withTokens(600, () => [1]));
      await expect(rows).rejects.toThrow(/ruler: expected a tokenizer that gives a text at least a token a line/);
    }
  });
});

describe('passkey', () => {
  it('hides keys at even depths of as much noise as there is room for', async () => {
    progress.length = 0;
    const rows = await made(passkey, 2048, { limit: 2, retrieval: { depths: 3, lengths: [700, 2048] } });
    expect(progress).toEqual(rows.map((_, i) => [i + 1, 12]));
    expect(rows.map(({ maxLength, depth, index }) => [maxLength, depth, index])).toEqual(
      [700, 2048].flatMap((length) => [0, 0.5, 1].flatMap((depth) => [[length, depth, 0], [length, depth, 1]])),
    );
    for (const { context, question, answerPrefix, answers: [key], length, maxLength, depth, maxNewTokens } of rows) {
      expect(key).toMatch(/^[0-9]{5}$/);
      const lines = context.trimEnd().split('\n').slice(1);
      const at = lines.indexOf(`The pass key is ${key}. Remember it. ${key} is the pass key.`);
      expect(at).toBe(Math.round(depth! * (lines.length - 1)));
      expect(question + answerPrefix).toBe('What is the pass key? The pass key is');
      expect(length).toBe((context + question + answerPrefix).length + maxNewTokens);
      // No other line of noise fits.
      expect(maxLength - length).toBeLessThan(lines[at === 0 ? 1 : 0]!.length + 1);
      expect(length).toBeLessThanOrEqual(maxLength);
    }
    expect(new Set(rows.map(({ answers: [key] }) => key)).size).toBe(rows.length);
  });

  it('takes fewer lines around a key of more tokens', async () => {
    const dear = withTokens(800, (prompt) => new Array<number>(prompt.length + 50 * prompt.replace(/[^1]/g, '').length).fill(1));
    const rows = await made(passkey, 800, { limit: 8, retrieval: { depths: 2 } }, dear);
    for (const { length } of rows) expect(length).toBeLessThanOrEqual(800);
    expect(new Set(rows.map(({ context }) => context.split('\n').length)).size).toBeGreaterThan(1);
  });

  it.each<[number, RetrievalSettings, string]>([
    [256, {}, 'passkey: expected a length of at least 345 tokens, a line of noise with key, question and answer, got 256'],
    [2048, { depths: 0 }, 'passkey: expected from 1 to 101 depths, got 0'],
    [2048, { depths: 102 }, 'passkey: expected from 1 to 101 depths, got 102'],
  ])('refuses %d tokens with %j', async (contextLength, retrieval, message) => {
    await expect(made(passkey, contextLength, { retrieval })).rejects.toThrow(message);
  });

  it('measures a limit of each depth', async () => {
    const rows = await passkey.makeRows!(new Alphabet(512), { routing: 'decode', retrieval: { depths: 2 } }, sources);
    expect(rows).toHaveLength(10);
    const { samples, details } = await runEvaluator(passkey, new Alphabet(512), { name: 'passkey', rows }, { routing: 'decode', limit: 2 });
    expect(samples.map(({ depth }) => depth)).toEqual([0, 0, 1, 1]);
    expect(details.scores).toEqual([0, 1].map((depth) => ({ task: 'passkey', length: 512, depth, score: 0, samples: 2 })));
  });
});
