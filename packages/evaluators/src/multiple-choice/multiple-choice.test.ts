import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { evaluatorNamed } from '../catalog';
import { runEvaluator } from '../run';
import { BigramModel } from '../testing';

/** After any token, `a` is likeliest, then `b`, then all others. */
const CHARACTERS = 'ab cdefgh🎉🎈';
const size = [...CHARACTERS].length;
const model = new BigramModel({
  logits: Array.from({ length: size }, () => Array.from({ length: size }, (_, id) => (id === 0 ? 3 : id === 1 ? 2 : 0))),
  contextLength: 64,
  characters: CHARACTERS,
});
const evaluate = (task: string, ...rows: object[]) =>
  runEvaluator(evaluatorNamed(task), model, { name: task, rows: rows.map((value, i) => ({ value, where: `${task}.jsonl: line ${i + 1}` })) }, {
    routing: 'decode',
  });
const metricsOf = async (task: string, ...rows: object[]) => (await evaluate(task, ...rows)).metrics;

const PIQA = { goal: 'be', sol1: 'a', sol2: 'bb', label: 0 };
const HELLASWAG = { activity_label: 'A', ctx_a: 'b', ctx_b: 'c', endings: ['a', 'b', 'c', 'd'], label: '0' };
const WINOGRANDE = { sentence: 'a _ b', option1: 'c', option2: 'd', answer: '1' };
const ARC = { question: 'b', choices: { text: ['a', 'b', 'c'], label: ['A', 'B', 'C'] }, answerKey: 'A' };

describe('multiple choice', () => {
  it('acc takes the likeliest choice, acc_norm the likeliest by its length in code points', async () => {
    // ' a' has the larger log-likelihood, ' bbb' the larger one for each of its letters.
    expect(await metricsOf('piqa', { ...PIQA, sol1: 'a', sol2: 'bbb' })).toEqual({ acc: 1, acc_stderr: null, acc_norm: 0, acc_norm_stderr: null });
    // Two balloons are two code points, as two letters are, though four of JavaScript's.
    expect(await metricsOf('piqa', { ...PIQA, sol1: '🎉🎈', sol2: 'cd', label: 0 })).toMatchObject({ acc: 1, acc_norm: 1 });
    expect(await metricsOf('piqa', { ...PIQA, sol1: 'cd', sol2: '🎉🎈', label: 0 })).toMatchObject({ acc: 1, acc_norm: 1 });
  });

  it('gives standard errors by the sample deviation', async () => {
    const rows = [0, 0, 0, 1].map((label) => ({ ...PIQA, sol2: 'cc', label }));
    const { acc, acc_stderr } = await metricsOf('piqa', ...rows);
    expect(acc).toBe(0.75);
    expect(acc_stderr).toBeCloseTo(Math.sqrt(0.1875 / 3), 12);
  });

  it('hellaswag cleans what WikiHow left, and logs the document as the harness does', async () => {
    const row = { ...HELLASWAG, activity_label: 'Home', ctx_a: '[header] Sweep [title] Start.  ', ctx_b: 'NEXT', endings: ['[step] a [x] b', 'c', 'd', 'e'], label: 3 };
    const { samples } = await evaluate('hellaswag', row);
    expect(samples[0]).toMatchObject({
      doc_id: 0,
      doc: { ...row, query: 'Home: Sweep. Start.  Next', choices: [' a b', 'c', 'd', 'e'], gold: 3 },
      target: '3',
      arguments: { gen_args_1: { arg_0: 'Home: Sweep. Start.  Next', arg_1: ' c' } },
      filter: 'none',
      metrics: ['acc', 'acc_norm'],
      acc: 0,
    });
  });

  it('winogrande takes a blank that begins the sentence', async () => {
    const { samples } = await evaluate('winogrande', { ...WINOGRANDE, sentence: '_ a b' });
    expect(samples[0]).toMatchObject({ target: 'a b', arguments: { gen_args_0: { arg_0: 'c', arg_1: ' a b' }, gen_args_1: { arg_0: 'd', arg_1: ' a b' } } });
  });

  it('winogrande scores the same ending after each option, without acc_norm', async () => {
    const { samples, metrics } = await evaluate('winogrande', { sentence: 'd _ a b. ', option1: 'c', option2: 'e', answer: '1' });
    expect(samples[0]).toMatchObject({
      target: 'a b.',
      arguments: { gen_args_0: { arg_0: 'd c', arg_1: ' a b.' }, gen_args_1: { arg_0: 'd e', arg_1: ' a b.' } },
    });
    // Both endings are equally likely in a model that sees one token: the first counts.
    expect(metrics).toEqual({ acc: 1, acc_stderr: null });
  });

  it('arc takes any labels', async () => {
    expect(await metricsOf('arc_easy', { ...ARC, choices: { text: ['c', 'a'], label: ['1', '2'] }, answerKey: '2' })).toMatchObject({ acc: 1 });
    expect(await metricsOf('arc_challenge', { ...ARC, answerKey: 'B' })).toMatchObject({ acc: 0 });
  });

  it.each([
    ['piqa', { ...PIQA, goal: undefined }, "expected a text in 'goal', got nothing"],
    ['piqa', { ...PIQA, label: 2 }, "expected 'label' to be the right one of the choices 0, 1, got 2"],
    ['piqa', { ...PIQA, label: -1 }, "expected 'label' to be the right one of the choices 0, 1, got -1"],
    ['piqa', [], 'expected an object, got []'],
    ['piqa', { ...PIQA, sol2: 'c'.repeat(80) }, "expected a continuation of 1 to 64 tokens, the model's context length, got 81"],
    ['hellaswag', { ...HELLASWAG, label: '' }, `expected 'label' to be the right one of the choices 0, 1, 2, 3, got ""`],
    ['hellaswag', { ...HELLASWAG, endings: [] }, "expected a list of texts in 'endings', got []"],
    ['winogrande', { ...WINOGRANDE, answer: '0' }, `expected 'answer' to be the right one of the choices 1, 2, got "0"`],
    ['winogrande', { ...WINOGRANDE, sentence: 'a b' }, `expected a blank _ in 'sentence', got "a b"`],
    ['arc_easy', { ...ARC, answerKey: 'D' }, `expected 'answerKey' to be the right one of the choices A, B, C, got "D"`],
    ['arc_easy', { ...ARC, choices: ['a', 'b'] }, `expected an object in 'choices', got ["a","b"]`],
    ['arc_easy', { ...ARC, choices: { text: ['a', 'b'], label: ['A'] } }, "expected a label for each of 2 choices in 'choices.label', got 1"],
    ['arc_challenge', { ...ARC, choices: { text: ['a', 1], label: ['A'] } }, `expected a list of texts in 'choices.text', got ["a",1]`],
  ])('%s refuses %j', async (task, row, message) => {
    const good = { piqa: PIQA, hellaswag: HELLASWAG, winogrande: WINOGRANDE }[task] ?? ARC;
    const run = evaluate(task, good, row);
    await expect(run).rejects.toThrow(FileError);
    await expect(run).rejects.toThrow(`${task}.jsonl: line 2: `);
    await expect(run).rejects.toThrow(message);
  });
});
