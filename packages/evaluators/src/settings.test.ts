// What evaluators are known by, and their settings where none are given.
import { describe, expect, it, vi } from 'vitest';

import { evaluators } from './catalog';
import type { Evaluator, EvaluationOptions } from './evaluator';
import { scoreWindows } from './log-likelihood';
import { runEvaluator } from './run';
import { BigramModel } from './testing';

const uniform = (size: number) => Array.from({ length: size }, () => new Array<number>(size).fill(0));
const model = (contextLength: number, size = 4) => new BigramModel({ logits: uniform(size), contextLength });
const text = (length: number) => ({ name: 'text', tokens: new Int32Array(length) });

it('evaluators are known by their versions, what they read, and whether a small cache has a part in them', () => {
  const table = Object.values<Evaluator<never, never>>(evaluators as never).map(({ name, version, reads, evicts = false, higherIsBetter }) => [name, version, reads, evicts, higherIsBetter.join()]);
  expect(table).toEqual([
    ['perplexity', 1, 'tokens', true, ''],
    ['wikitext', 2, 'rows', false, ''],
    ['hellaswag', 1, 'rows', false, 'acc,acc_norm'],
    ['piqa', 1, 'rows', false, 'acc,acc_norm'],
    ['winogrande', 1, 'rows', false, 'acc'],
    ['arc_easy', 1, 'rows', false, 'acc,acc_norm'],
    ['arc_challenge', 1, 'rows', false, 'acc,acc_norm'],
    ['dolly', 1, 'rows', true, 'rouge_l'],
    ['self_instruct', 1, 'rows', true, 'rouge_l'],
    ['vicuna', 1, 'rows', true, 'rouge_l'],
    ['s_ni', 1, 'rows', true, 'rouge_l'],
    ['un_ni', 1, 'rows', true, 'rouge_l'],
    ['judge', 1, 'rows', false, 'rating'],
    ['ruler', 1, 'rows', true, 'score'],
    ['passkey', 1, 'rows', true, 'score'],
    ['kv_accounting', 1, 'tokens', true, ''],
    ['routing', 1, 'tokens', false, 'agreement'],
    ['throughput', 1, 'tokens', true, 'prefill_tokens_per_second,decode_tokens_per_second'],
    ['token_importance', 1, 'tokens', false, ''],
  ]);
});

describe('a run', () => {
  it('goes in batches of 8, and says how far it is', async () => {
    const subject = model(2);
    const measure = vi.spyOn(evaluators.perplexity, 'measure');
    const progress: number[][] = [];
    try {
      await runEvaluator(evaluators.perplexity, subject, text(39), { routing: 'decode', onProgress: ({ done, of }) => progress.push([done, of]) });
      expect(measure.mock.calls.map(([, items]) => items.length)).toEqual([8, 8, 3]);
      expect(progress).toEqual([[0, 19], [8, 19], [16, 19], [19, 19]]);
    } finally {
      measure.mockRestore();
    }
  });

  it.each<[Partial<EvaluationOptions>, string]>([
    [{ batchSize: 0 }, 'perplexity: expected batchSize to be a whole number from 1 on, got 0'],
    [{ batchSize: 1.5 }, 'perplexity: expected batchSize to be a whole number from 1 on, got 1.5'],
    [{ limit: 0 }, 'perplexity: expected limit to be a whole number from 1 on, got 0'],
  ])('refuses %j', async (options, message) => {
    await expect(runEvaluator(evaluators.perplexity, model(2), text(9), { routing: 'decode', ...options })).rejects.toThrow(message);
    expect((await runEvaluator(evaluators.perplexity, model(2), text(9), { routing: 'decode', batchSize: 1, limit: 1 })).samples).toHaveLength(4);
  });

  it('goes on from as many samples as there are items, and from no more', async () => {
    const { samples } = await runEvaluator(evaluators.perplexity, model(2), text(9), { routing: 'decode' });
    const store = (kept: typeof samples) => ({ load: async () => kept, append: vi.fn(async () => undefined) });
    const whole = store(samples);
    expect((await runEvaluator(evaluators.perplexity, model(2), text(9), { routing: 'decode', store: whole })).samples).toEqual(samples);
    expect(whole.append).not.toHaveBeenCalled();
    await expect(runEvaluator(evaluators.perplexity, model(2), text(9), { routing: 'decode', store: store([...samples, samples[0]!]) })).rejects.toThrow(
      'perplexity: expected at most 4 finished samples, found 5; they are of other data, start anew',
    );
  });
});

describe('likelihoods', () => {
  it('end with the signal between two batches, of 8 by default', async () => {
    const subject = model(4);
    const controller = new AbortController();
    const likelihood = vi.spyOn(subject, 'likelihood').mockImplementation(async (inputs, _, { windows }) => {
      controller.abort(new Error('enough'));
      expect(windows).toBe(8);
      return { nll: new Float32Array(inputs.length), greedy: new Uint8Array(inputs.length) };
    });
    const windows = Array.from({ length: 20 }, () => ({ tokens: Int32Array.of(1, 2, 3), counted: 0 }));
    await expect(scoreWindows(subject, windows, { routing: 'decode', signal: controller.signal })).rejects.toThrow('enough');
    expect(likelihood).toHaveBeenCalledTimes(1);
  });
});

describe('throughput', () => {
  it('takes half of an odd context, rounded up, and 128 tokens after the first', async () => {
    const run = async (contextLength: number, options: Partial<EvaluationOptions> = {}) => {
      const { details } = await runEvaluator(evaluators.throughput, model(contextLength), text(2000), { routing: 'decode', ...options });
      return [details.repetitions, details.promptTokens, details.newTokens];
    };
    expect(await run(15)).toEqual([5, 8, 7]);
    expect(await run(400)).toEqual([5, 200, 129]);
    expect(await run(400, { windowLength: 271, maxWindows: 1 })).toEqual([1, 271, 129]);
    expect(await run(400, { windowLength: 398, maxWindows: 1 })).toEqual([1, 398, 2]);
  });
});

describe('token importance', () => {
  it('takes one window at a time, and the share of the largest tenth, rounded up', async () => {
    const subject = model(21, 30);
    const likelihood = vi.spyOn(subject, 'likelihood');
    // A collapsed token i costs i / 100 nats from its place on: of 21 tokens the largest three.
    const tokens = Int32Array.from({ length: 22 }, (_, i) => i);
    const { metrics, details, samples } = await runEvaluator(evaluators.token_importance, subject, { name: 'text', tokens }, { routing: 'decode' });
    expect(new Set(likelihood.mock.calls.map(([inputs, targets, { windows, collapsed }]) => [inputs.length, targets.length, windows, collapsed === undefined].join()))).toEqual(new Set(['21,21,1,true', '21,21,1,false']));
    expect(samples.map(({ position, token }) => [position, token])).toEqual([[null, null], ...Array.from({ length: 21 }, (_, i) => [i, i])]);
    const changes = Array.from({ length: 21 }, (_, i) => Math.expm1(((21 - i) * i) / 100 / 21));
    const sizes = [...changes].sort((a, b) => b - a);
    const sum = sizes.reduce((a, b) => a + b);
    expect(metrics.top_10_percent_share).toBeCloseTo((sizes[0]! + sizes[1]! + sizes[2]!) / sum, 4);
    expect(metrics.share_below_1_percent).toBeCloseTo(changes.filter((change) => change < 0.01).length / 21, 12);
    let gini = 0;
    for (const a of sizes) for (const b of sizes) gini += Math.abs(a - b);
    expect(metrics.gini).toBeCloseTo(gini / (2 * 21 * sum), 4);
    expect(details).toMatchObject({ routing: 'decode' });
  });
});

describe('instructions', () => {
  const rows = { name: 'rows', rows: [{ value: { instruction: 'Say it.', output: 'ab' }, where: 'line 1' }] };
  const run = (contextLength: number, generation = {}) => runEvaluator(evaluators.dolly, model(contextLength), rows, { routing: 'decode', generation });

  it('have five seeds and half of the context, rounded down, of at most 256 tokens', async () => {
    const { details, samples } = await run(301);
    expect(details).toMatchObject({ seeds: [10, 20, 30, 40, 50], temperature: 1, topP: 1, topK: null, noRepeatNgramSize: null, maxNewTokens: 150, maxPromptTokens: 151 });
    expect(details).toMatchObject({ rows: 1, rowsWithReference: 1, eviction: null, kvBudget: null, kvPolicy: null });
    expect(samples).toHaveLength(5);
    expect((await run(2000, { seeds: [1] })).details).toMatchObject({ maxNewTokens: 256, maxPromptTokens: 256 });
  });

  it('say what a response was drawn by', async () => {
    const settingsOf = async (generation: object) => (await run(400, { seeds: [7], ...generation })).samples[0]!.arguments['gen_args_0']!['arg_1'];
    const defaults = { do_sample: true, temperature: 1, top_p: 1, top_k: 0, max_gen_toks: 200, no_repeat_ngram_size: 0, seed: 7 };
    expect(await settingsOf({})).toEqual(defaults);
    expect(await settingsOf({ temperature: 0 })).toEqual({ ...defaults, do_sample: false, temperature: 0 });
    expect(await settingsOf({ topK: 5, topP: 0.5, noRepeatNgramSize: 3 })).toEqual({ ...defaults, top_k: 5, top_p: 0.5, no_repeat_ngram_size: 3 });
  });

  it.each([[[]], [[1, 1]], [[0.5]], [[2 ** 53]]])('refuse the seeds %j', async (seeds) => {
    await expect(run(300, { seeds })).rejects.toThrow(`dolly: expected seeds to be 1 or more different whole numbers, got [${seeds.join(', ')}]`);
  });
});

describe('WikiText', () => {
  it('counts words, bytes and nats by hand', async () => {
    const rows = [{ value: { text: 'ab é\n c' }, where: 'line 1' }, { value: { page: 'a = = b = = \n' }, where: 'line 2' }];
    const { metrics, details, samples } = await runEvaluator(evaluators.wikitext, model(64), { name: 'pages', rows }, { routing: 'decode' });
    // Of four tokens each costs ln 4; a token for each character of the text.
    const nats = (7 + 'a == b ==\n'.length) * Math.log(4);
    expect(samples.map((sample) => sample.target)).toEqual(['ab é\n c', 'a == b ==\n']);
    expect(details).toEqual({ pages: 2, words: 3 + 7, bytes: 8 + 13, routing: 'decode' });
    expect(metrics.word_perplexity).toBeCloseTo(Math.exp(nats / 10), 2);
    expect(metrics.byte_perplexity).toBeCloseTo(Math.exp(nats / 21), 4);
    expect(metrics.bits_per_byte).toBeCloseTo(nats / 21 / Math.LN2, 5);
    expect([metrics.word_perplexity_stderr, metrics.byte_perplexity_stderr, metrics.bits_per_byte_stderr]).toEqual([null, null, null]);
  });
});

describe('perplexity', () => {
  it('refuses small caches where it does not go token by token', async () => {
    const run = (options: Partial<EvaluationOptions>, subject: object = model(4)) => runEvaluator(evaluators.perplexity, subject as BigramModel, text(9), { routing: 'prefill', ...options });
    await expect(run({ cache: 'h2o:0.5' })).rejects.toThrow('perplexity: expected decode routing with eviction, which goes token by token, got prefill');
    await expect(run({ cache: 'oldest:9B' })).rejects.toThrow('perplexity: expected decode routing with a KV budget, which goes token by token, got prefill');
    const { likelihood, kv, contextLength } = model(4);
    await expect(run({ cache: 'oldest:9B', routing: 'decode' }, { likelihood, kv, contextLength })).rejects.toThrow('perplexity: expected a model with streamNll for a KV budget, got one without');
  });

  it('says windows, stride and bytes', async () => {
    const run = async (options: Partial<EvaluationOptions> = {}) => runEvaluator(evaluators.perplexity, model(4), text(10), { routing: 'decode', ...options });
    expect((await run()).details).toEqual({ tokens: 9, windows: 3, windowLength: 4, stride: 4, routing: 'decode' });
    expect((await run({ windowLength: 3, stride: 2 })).details).toEqual({ tokens: 9, windows: 4, windowLength: 3, stride: 2, routing: 'decode' });
    const { metrics, details } = await run({ cache: 'oldest:5000B' });
    expect(details).toMatchObject({ kvBudget: 5000, kvPolicy: 'oldest' });
    expect(metrics.kv_bytes_per_token_cache).toBe(1024);
    expect(metrics.perplexity).toBeCloseTo(4, 4);
  });
});
