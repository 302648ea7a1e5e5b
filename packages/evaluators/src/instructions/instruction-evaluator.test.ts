import { createHash } from 'node:crypto';
import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import type { DataRow, EvaluationOptions } from '../evaluator';
import type { GenerationOptions, LanguageModel } from '../language-model';
import { rougeL } from '../rouge';
import { runEvaluator } from '../run';
import { mean, standardDeviation, standardError } from '../statistics';
import { BigramModel } from '../testing/bigram-model';
import { dollyEvaluator } from './dolly';
import { formatPrompt } from './instruction';
import { sNiEvaluator } from './s-ni';
import { unNiEvaluator } from './un-ni';
import { vicunaEvaluator } from './vicuna';

/** '.' ends a text. */
const CHARACTERS = '. abcdef';
const LOGITS = Array.from(CHARACTERS, (_, i) => Array.from(CHARACTERS, (_, j) => (j === 0 ? 0 : 0.8 * Math.sin(3 * i + 5 * j))));
const model = (contextLength = 600) => new BigramModel({ logits: LOGITS, contextLength, characters: CHARACTERS, bos: 0 });
const rowsOf = (values: readonly unknown[]): DataRow[] => values.map((value, i) => ({ value, where: `rows.jsonl: line ${i + 1}` }));
const dolly = [
  { instruction: 'Say a.', context: '', response: 'a b c', category: 'open_qa' },
  { instruction: 'Say b.', context: 'b', response: 'b a f e d' },
  { instruction: 'Say c.', context: '', response: 'cab' },
  { instruction: 'Say d.', context: '', response: 'd d d' },
];
const run = (evaluator: typeof dollyEvaluator, values: readonly unknown[], options: Partial<EvaluationOptions> = {}, subject: LanguageModel = model()) =>
  runEvaluator(evaluator, subject, { name: 'rows', rows: rowsOf(values) }, { routing: 'decode', ...options });

describe('an evaluator of instructions', () => {
  it('has a response to each row drawn for each of the five seeds, with its ROUGE-L', async () => {
    const { samples, metrics, details } = await run(dollyEvaluator, dolly);
    expect(samples.map(({ doc_id, seed }) => [doc_id, seed])).toEqual([0, 1, 2, 3].flatMap((row) => [10, 20, 30, 40, 50].map((seed) => [row, seed])));
    expect(new Set(samples.map(({ prediction }) => prediction)).size).toBeGreaterThan(15);
    for (const { doc_id, doc, target, prediction, resps, rouge_l } of samples) {
      expect(doc).toEqual(dolly[doc_id]);
      expect(target).toBe(dolly[doc_id]!.response);
      expect(prediction).toMatch(/^([a-f]([a-f ]*[a-f])?)?$/); // the token that ends it is not in it
      expect(String(resps[0]![0]).trim()).toBe(prediction);
      expect(rouge_l).toBe(100 * rougeL(prediction, [target]).fmeasure);
    }
    const of = (key: 'seed' | 'doc_id', value: number) => mean(samples.filter((sample) => sample[key] === value).map(({ rouge_l }) => rouge_l!));
    const bySeed = [10, 20, 30, 40, 50].map((seed) => of('seed', seed));
    expect(metrics.rouge_l).toBeCloseTo(mean(bySeed), 12);
    expect(metrics.rouge_l).toBeGreaterThan(1);
    expect(metrics.rouge_l_std).toBeCloseTo(standardDeviation(bySeed)!, 12);
    expect(metrics.rouge_l_stderr).toBeCloseTo(standardError([0, 1, 2, 3].map((row) => of('doc_id', row)))!, 12);
    expect(details).toMatchObject({
      rows: 4, rowsWithReference: 4, seeds: [10, 20, 30, 40, 50], temperature: 1, topP: 1, topK: null, noRepeatNgramSize: null,
      maxNewTokens: 256, maxPromptTokens: 256, eviction: null, promptsCut: 0, meanNewTokens: mean(samples.map(({ new_tokens }) => new_tokens)),
    });
    expect(Object.values(details.rougeLBySeed as object)).toEqual(bySeed);
  });

  it('un_ni takes the first 10,000 responses of 11 tokens or more', () => {
    const rows = Array.from({ length: 10_002 }, (_, i) => ({ instruction: 'Say a.', input: '', output: i === 1 ? 'abcdefabcd' : 'abcdefabcde' }));
    const items = unNiEvaluator.items(model(), { name: 'rows', rows: rowsOf(rows) }, { routing: 'decode', generation: { seeds: [10] } });
    expect(items).toHaveLength(10_000);
    expect(items.slice(0, 3).map((item) => (item as { row: number }).row)).toEqual([0, 2, 3]);
  });

  it.each([[[1, 1.5]], [[]], [[2, 3, 2]], [[0.5]]])('refuses seeds %j', async (seeds) => {
    await expect(run(dollyEvaluator, dolly, { generation: { seeds } })).rejects.toThrow(
      `dolly: expected seeds to be 1 or more different whole numbers, got [${seeds.join(', ')}]`,
    );
  });

  it('writes samples as lm-evaluation-harness does', async () => {
    const { samples } = await run(dollyEvaluator, dolly, { generation: { seeds: [10], noRepeatNgramSize: 6, maxNewTokens: 9 } });
    const { prediction, resps, rouge_l, new_tokens } = samples[1]!;
    expect(samples[1]).toMatchObject({
      doc_id: 1,
      doc: dolly[1],
      target: 'b a f e d',
      arguments: {
        gen_args_0: {
          arg_0: formatPrompt({ instruction: 'Say b.', input: 'b' }),
          arg_1: { do_sample: true, temperature: 1, top_p: 1, top_k: 0, max_gen_toks: 9, no_repeat_ngram_size: 6, seed: 10 },
        },
      },
      resps: [[resps[0]![0]]],
      filtered_resps: [prediction],
      filter: 'none',
      prompt_hash: createHash('sha256').update(formatPrompt({ instruction: 'Say b.', input: 'b' })).digest('hex'),
      metrics: ['rouge_l'],
      seed: 10,
      prediction,
      rouge_l,
      new_tokens,
      prompt_cut: false,
    });
  });

  it('takes the best of several references', async () => {
    const [first, ...others] = [['f'], ['a b', 'b c'], ['e']].map((output) => ({ instruction: 'I', output }));
    const alone = await run(dollyEvaluator, [{ ...first!, output: ['f', 'e', 'd e', 'f f'] }, ...others]);
    for (const { prediction, rouge_l, doc } of alone.samples) {
      const { output } = doc as { output: string[] };
      expect(rouge_l).toBe(Math.max(...output.map((each) => 100 * rougeL(prediction, [each]).fmeasure)));
    }
  });

  it('draws for a row and a seed the same whatever else is measured', async () => {
    const whole = await run(dollyEvaluator, dolly);
    const part = await run(dollyEvaluator, dolly, { limit: 2, batchSize: 3, generation: { seeds: [40, 20] } });
    expect(part.samples.map(({ prediction }) => prediction)).toEqual(
      [0, 1].flatMap((row) => [40, 20].map((seed) => whole.samples.find((sample) => sample.doc_id === row && sample.seed === seed)!.prediction)),
    );
    const same = await run(dollyEvaluator, [dolly[0], dolly[0]], { generation: { seeds: [10] } });
    expect(same.samples[0]!.prediction).not.toBe(same.samples[1]!.prediction);
  });

  it('asks the model for what is set, and at temperature 0 for nothing that draws', async () => {
    const asked: GenerationOptions[] = [];
    const subject = model();
    const generate = subject.generate.bind(subject);
    subject.generate = (prompts, options) => generate(prompts, (asked.push(options), options));
    await run(dollyEvaluator, [dolly[0]], { generation: { seeds: [1], topK: 3, topP: 0.9, noRepeatNgramSize: 2 }, cache: 'h2o:0.5' }, subject);
    await run(dollyEvaluator, [dolly[0]], { generation: { seeds: [1], temperature: 0 } }, subject);
    const [seed] = asked[0]!.seeds!;
    expect(asked).toEqual([
      { maxNewTokens: 256, stopTokens: [0], temperature: 1, topK: 3, topP: 0.9, noRepeatNgramSize: 2, seeds: [seed], cache: 'h2o:0.5' },
      { maxNewTokens: 256, stopTokens: [0], temperature: 0, seeds: [seed] },
    ]);
  });

  it('writes predictions down where there is no reference', async () => {
    const { samples, metrics, details } = await run(vicunaEvaluator, [{ question_id: 1, text: 'Why?' }, { text: 'How?' }], { generation: { seeds: [1] } });
    expect(metrics).toEqual({ rouge_l: null, rouge_l_std: null, rouge_l_stderr: null });
    expect(details).toMatchObject({ rows: 2, rowsWithReference: 0, rougeLBySeed: {} });
    for (const { prediction, filtered_resps, rouge_l, metrics: names, target } of samples) {
      expect([rouge_l, names, target, filtered_resps]).toEqual([null, [], '', [prediction]]);
    }
    await expect(run(dollyEvaluator, [{ text: 'Why?' }])).rejects.toThrow("rows.jsonl: line 1: expected a response in field 'output', 'response', got 'text'");
  });

  it('fits prompt and response into the context', async () => {
    const { samples, details } = await run(dollyEvaluator, dolly, { generation: { seeds: [1] } }, model(300));
    expect(details).toMatchObject({ maxNewTokens: 150, maxPromptTokens: 150, promptsCut: 1 });
    expect(samples.map(({ prompt_cut }) => prompt_cut)).toEqual(dolly.map((row) => formatPrompt({ ...row, input: row.context }).length > 150));
    const { details: more } = await run(dollyEvaluator, dolly, { generation: { seeds: [1], maxNewTokens: 250 } }, model(300));
    expect(more).toMatchObject({ maxNewTokens: 250, maxPromptTokens: 50, promptsCut: 4 });
  });

  it('writes a single token where no more are asked for, and all but one of the context', async () => {
    for (const maxNewTokens of [1, 299]) {
      const { details } = await run(dollyEvaluator, dolly, { generation: { seeds: [1], maxNewTokens } }, model(300));
      expect(details).toMatchObject({ maxNewTokens, maxPromptTokens: Math.min(256, 300 - maxNewTokens) });
    }
  });

  it.each([sNiEvaluator, unNiEvaluator])('$name takes responses of 11 or more tokens', async (evaluator) => {
    const outputs = ['a'.repeat(10), 'a'.repeat(11), ['a'.repeat(11), 'a'], ['a', 'a'.repeat(11)], 'a'.repeat(30)];
    const { samples } = await run(evaluator, outputs.map((output) => ({ instruction: 'I', output })), { generation: { seeds: [1] } });
    expect(samples.map(({ doc_id }) => doc_id)).toEqual([1, 2, 4]);
    await expect(run(evaluator, [{ instruction: 'I', output: 'short' }])).rejects.toThrow('expected something to measure, and rows holds nothing');
  });

  it('un_ni takes the first 10,000', () => {
    const rows = Array.from({ length: 10_010 }, (_, i) => ({ value: { instruction: 'I', output: i < 5 ? 'a' : 'a'.repeat(12) }, where: '' }));
    const items = unNiEvaluator.items(model(), { name: 'rows', rows }, { routing: 'decode', generation: { seeds: [1] } });
    expect(items).toHaveLength(10_000);
    expect(items.at(-1)).toMatchObject({ row: 10_004 });
  });

  it.each([
    [{ seeds: [] }, 'dolly: expected seeds to be 1 or more different whole numbers, got []'],
    [{ seeds: [1, 1] }, 'dolly: expected seeds to be 1 or more different whole numbers, got [1, 1]'],
    [{ seeds: [0.5] }, 'dolly: expected seeds to be 1 or more different whole numbers, got [0.5]'],
    [{ maxNewTokens: 0 }, 'dolly: expected maxNewTokens from 1 to 599'],
    [{ maxNewTokens: 600 }, "dolly: expected maxNewTokens from 1 to 599, below the model's context length of 600, got 600"],
  ])('refuses %j', async (generation, message) => {
    await expect(run(dollyEvaluator, dolly, { generation })).rejects.toThrow(ArgumentError);
    await expect(run(dollyEvaluator, dolly, { generation })).rejects.toThrow(message);
  });
});
