// `ruler` against lm-evaluation-harness, which wrote the fixture: tools/make_retrieval_fixtures.py.
import { readFileSync } from 'node:fs';

import { startBackend } from '@mixsga/backend';
import { type DataRow, evaluatorNamed, type Evaluation, type LanguageModel, runEvaluator } from '@mixsga/evaluators';
import { fromPretrained, languageModel } from '@mixsga/models';
import { beforeAll, describe, expect, it } from 'vitest';

import { readSotu } from '../data/sotu';

/** As the harness writes it. A document of 4,096 tokens has no `input`; its hash is in those of document and prompt. */
interface Sample {
  readonly doc: Readonly<Record<string, unknown>>;
  readonly doc_hash: string;
  readonly prompt_hash: string;
  readonly target_hash: string;
  readonly settings: object;
  readonly response: string;
  readonly score: number;
}

interface Fixture {
  readonly address: string;
  readonly cases: readonly { readonly task: string; readonly length: number; readonly score: number; readonly samples: readonly Sample[] }[];
  readonly scores: readonly { readonly outputs: string[]; readonly answer: string; readonly all: number }[];
}

/** What a model was asked. */
interface Asked {
  readonly prompt: string;
  readonly context: string;
}

const fixture = JSON.parse(readFileSync(new URL('fixtures/ruler.json', import.meta.url), 'utf8')) as Fixture;
const ruler = evaluatorNamed('ruler');
let tokenizer: LanguageModel['tokenizer'];
let text: string;

beforeAll(async () => {
  await startBackend('wasm');
  const pretrained = await fromPretrained('sotu-mini');
  ({ tokenizer } = languageModel(pretrained));
  pretrained.decoder.dispose();
  text = (await readSotu()).find(({ id }) => id === fixture.address)!.text;
}, 60_000);

/** A model that gives these answers, each for one token, and keeps what it was asked. */
function answering(answers: readonly string[], asked: Asked[] = []): LanguageModel {
  const generate: LanguageModel['generate'] = (prompts, { contextTokens }) => {
    const first = asked.length;
    prompts.forEach((tokens, i) => asked.push({ prompt: tokenizer.decode(tokens), context: tokenizer.decode(Array.from(tokens).slice(0, contextTokens![i])) }));
    return { tokens: (sequence: number) => [first + sequence], [Symbol.asyncIterator]: async function* () {} } as unknown as ReturnType<LanguageModel['generate']>;
  };
  const own = { encode: (text: string) => tokenizer.encode(text), decode: (tokens: ArrayLike<number>) => answers[tokens[0]!]! };
  return { contextLength: 4096, stopTokens: [], tokenizer: own, generate } as unknown as LanguageModel;
}

describe.each(fixture.cases)('$task of $length tokens', ({ task, length, score, samples }) => {
  let rows: readonly DataRow[];
  let evaluation: Evaluation<object>;
  const asked: Asked[] = [];

  beforeAll(async () => {
    const model = answering(samples.map(({ response }) => response), asked);
    const options = { routing: 'decode', limit: samples.length, retrieval: { tasks: [task], lengths: [length] } } as const;
    rows = await ruler.makeRows!(model, options, { text: async () => ({ name: 'address', text }) });
    evaluation = await runEvaluator(ruler, model, { name: 'ruler', rows }, options);
  }, 60_000);

  it("has the harness's documents, requests and scores", () => {
    expect(evaluation.samples).toHaveLength(samples.length);
    samples.forEach(({ doc, settings, response: _, ...expected }, i) => {
      expect(evaluation.samples[i]).toMatchObject({ doc, ...expected, arguments: { gen_args_0: { arg_1: settings } } });
    });
    expect(evaluation.metrics[`score_${length}`]).toBeCloseTo(score, 12);
  });

  it('takes in the context before the question', () => {
    asked.forEach(({ prompt, context }, i) => {
      const { context: whole, question, answerPrefix } = rows[i]!.value as { context: string; question: string; answerPrefix: string };
      expect(prompt.endsWith(question + answerPrefix)).toBe(true);
      expect(question).toMatch(/^\n(What|Question: )/);
      // Of a prompt that is too long the beginning is cut. A token that the question has a part in is none of the context.
      const end = whole.lastIndexOf(context) + context.length;
      expect(context.length).toBeGreaterThan(0.9 * whole.length);
      expect(end).toBeLessThanOrEqual(whole.length);
      expect(whole.length - end).toBeLessThan(8);
    });
  });
});

it.each(fixture.scores)('scores $answer for $outputs as the harness does', async ({ outputs, answer, all }) => {
  const value = { task: 't', haystack: 'noise', index: 0, context: 'a b', question: ' c', answerPrefix: ' d', answers: outputs, depth: null, length: 9, maxLength: 9, maxNewTokens: 2 };
  const { metrics } = await runEvaluator(ruler, answering([answer]), { name: 'one', rows: [{ value, where: 'row' }] }, { routing: 'decode' });
  expect(metrics.score).toBeCloseTo(all, 12);
});
