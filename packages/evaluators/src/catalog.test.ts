import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { type EvaluatorName, evaluatorNamed, evaluatorNames, evaluators, registerEvaluator } from './catalog';
import { runEvaluator } from './run';
import { BigramModel, describeEvaluator, describeLanguageModel } from './testing';

const LOGITS = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(3 * i + 5 * j)));
const plain = () => new BigramModel({ logits: LOGITS, contextLength: 8 });
const routed = () => new BigramModel({ logits: LOGITS, contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 2 });
const subject = (model: BigramModel) => Promise.resolve({ model, vocabularySize: 9, dispose: () => undefined });

describeLanguageModel('a bigram table', () => subject(plain()));
describeLanguageModel('a bigram table with experts', () => subject(routed()));

/** Data of each kind that evaluators read: a text, and rows of the data sets. */
const text = { name: 'squares', tokens: Int32Array.from({ length: 40 }, (_, i) => (i * i) % 9) };
const question = (i: number) => ({ question: `What is ${i}?`, choices: { text: ['it', 'a bee', 'bad'], label: ['A', 'B', 'C'] }, answerKey: 'ABC'[i % 3] });
const instruction = (i: number) => ({ instruction: `Say ${i}.`, input: '', output: 'a bad cab bed' });
const retrieval = (i: number) => ({
  task: 'passkey', haystack: 'noise', index: i, context: `${i}bc`, question: 'd', answerPrefix: 'e', answers: ['1'], depth: 0.5, length: 7, maxLength: 8, maxNewTokens: 1 + (i % 2),
});
const rows: Partial<Record<EvaluatorName, (i: number) => object>> = {
  wikitext: (i) => ({ page: 'a bad cab , '.repeat(i) }),
  hellaswag: (i) => ({ activity_label: 'Tea', ctx_a: `${i} cups.`, ctx_b: 'then', endings: ['a', 'bb', 'c c', 'dd'], label: String(i % 4) }),
  piqa: (i) => ({ goal: `be ${i}`, sol1: 'a cab', sol2: 'bed', label: i % 2 }),
  winogrande: (i) => ({ sentence: `${i} and _ are bad`, option1: 'a', option2: 'bb', answer: String(1 + (i % 2)) }),
  arc_easy: question,
  arc_challenge: question,
  dolly: instruction,
  self_instruct: instruction,
  vicuna: instruction,
  s_ni: instruction,
  un_ni: instruction,
  ruler: retrieval,
  passkey: retrieval,
};
const rowsOf = (row: (i: number) => object) => ({
  name: 'rows',
  rows: [0, 1, 2, 3].map((i) => ({ value: row(i), where: `rows.jsonl: line ${i + 1}` })),
});

for (const [name, evaluator] of Object.entries(evaluators)) {
  if (name === 'judge') continue; // tried with an endpoint, in judge/judge.test.ts
  const row = rows[name as EvaluatorName];
  const data = row ? rowsOf(row) : text;
  for (const model of [plain(), routed()]) describeEvaluator(evaluator, () => ({ model, data, options: { generation: { seeds: [10, 20] } } }));
}

/** Gives no log-likelihood of its last target. */
class BrokenModel extends BigramModel {
  constructor(readonly value: number) {
    super({ logits: LOGITS, contextLength: 8 });
  }

  override async likelihood(...args: Parameters<BigramModel['likelihood']>) {
    const { nll, greedy } = await super.likelihood(...args);
    return { nll: nll.fill(this.value, -1), greedy };
  }
}

const ofLikelihoods = ['perplexity', 'token_importance', 'wikitext', 'hellaswag', 'piqa', 'winogrande', 'arc_easy', 'arc_challenge'];

describe.each(Object.keys(evaluators).filter((name) => name !== 'judge'))('%s of a model that is broken', (name) => {
  const row = rows[name as EvaluatorName];

  it.each([NaN, Infinity, -Infinity])('names what has a log-likelihood of %d, or has no part in it', async (value) => {
    const options = { routing: 'decode', generation: { seeds: [10] } } as const;
    const run = runEvaluator(evaluatorNamed(name), new BrokenModel(value), row ? rowsOf(row) : text, options);
    if (ofLikelihoods.includes(name)) {
      const where = row ? 'rows\\.jsonl: line \\d' : 'window \\d';
      await expect(run).rejects.toThrow(new RegExp(`expected a finite log-likelihood from the model, got -?(NaN|Infinity) for ${where};`));
    } else {
      for (const metric of Object.values((await run).metrics)) expect(metric === null || Number.isFinite(metric)).toBe(true);
    }
  });
});

describe('evaluatorNamed', () => {
  it.each(Object.entries(evaluators))('finds %s', (name, evaluator) => {
    expect(evaluator.name).toBe(name);
    expect(evaluatorNamed(name)).toBe(evaluator);
  });

  it.each(['belebele', 'toString', ''])('refuses %j and lists what there is', (name) => {
    expect(() => evaluatorNamed(name)).toThrow(ArgumentError);
    expect(() => evaluatorNamed(name)).toThrow(`expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
  });

  it('says what to do about another name', () => {
    expect(() => evaluatorNamed('belebele')).toThrow(/'; a plugin may register it \(--plugin, registerEvaluator\)$/);
    expect(() => evaluatorNamed('perplexitty')).toThrow(/'; did you mean perplexity\?$/);
  });
});

describe('registerEvaluator', () => {
  const perplexity = evaluatorNamed('perplexity');

  it('makes an evaluator known by its name, twice too', () => {
    const own = { ...perplexity, name: 'own_2' };
    registerEvaluator(own);
    registerEvaluator(own);
    expect(evaluatorNamed('own_2')).toBe(own);
    expect(evaluatorNames()).toEqual([...Object.keys(evaluators), 'own_2']);
  });

  it.each(['', '2nd', 'Own', 'own-task', 'own task', '_own'])('refuses the name %j', (name) => {
    expect(() => registerEvaluator({ ...perplexity, name })).toThrow(new ArgumentError(
      `registerEvaluator: expected a name of small letters, digits and underscores, got ${JSON.stringify(name)}`,
    ));
  });

  it.each([
    [{ reads: 'pages' }, 'expected reads to be one of tokens, rows, got "pages"'],
    [{ measure: undefined }, 'expected measure to be a function, got nothing'],
    [{ dataset: { repository: 'a/b' } }, 'expected dataset.file to be a string, got nothing'],
  ])('refuses %j', (wrong, message) => {
    expect(() => registerEvaluator({ ...perplexity, name: 'own_3', ...wrong } as never)).toThrow(new ArgumentError(`registerEvaluator: own_3: ${message}`));
    expect(() => evaluatorNamed('own_3')).toThrow("got 'own_3'");
  });

  it("refuses another evaluator's name", () => {
    expect(() => registerEvaluator({ ...perplexity })).toThrow(new ArgumentError('registerEvaluator: expected a name that is free, got perplexity'));
  });
});
