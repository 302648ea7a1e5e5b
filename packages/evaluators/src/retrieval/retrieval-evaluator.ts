import { FileError } from '@mixsga/backend';
import { fieldsOfCache } from '@mixsga/kv-cache';

import { defineEvaluator, type EvaluationOptions, type Evaluator, type MakeRows } from '../evaluator';
import { harnessSample } from '../harness/sample';
import type { LanguageModel } from '../language-model';
import { parseRetrievalRow, promptText, type RetrievalRow } from './row';
import type { RetrievalSample } from './sample';
import { summaryOf } from './summary';

/** A task whose answers lie in a long context. */
export interface RetrievalTask {
  readonly name: string;
  readonly description: string;
  readonly definition: string;
  /** Makes the rows, by the model's tokenizer. */
  readonly makeRows: MakeRows;
  /** Whether haystacks are cut from a text. */
  readonly readsText?: boolean;
  /** What samples are counted by, where only some are measured. */
  caseOf(row: RetrievalRow): string;
  /** Score of an answer, from 0 to 1. */
  score(answer: string, answers: readonly string[]): number;
}

export interface RetrievalItem {
  readonly id: number;
  readonly row: RetrievalRow;
  readonly where: string;
}

/**
 * An evaluator of {@link RetrievalRow}s: greedy answers. The context goes into the cache before the question, which follows token by token, so that no
 * policy and no router sees the question when it decides what is kept of the context.
 */
export function retrievalEvaluator(task: RetrievalTask): Evaluator<RetrievalItem, RetrievalSample> {
  const { name, description, definition, makeRows, readsText = false } = task;
  return defineEvaluator<RetrievalItem, RetrievalSample>({
    name,
    description,
    definition,
    version: 1,
    reads: 'rows',
    evicts: true,
    makeRows,
    readsText,
    higherIsBetter: ['score'],
    items(_model, { rows = [] }, { limit = Infinity }) {
      const counts = new Map<string, number>();
      return rows.flatMap((row, id) => {
        const item = { id, row: parseRetrievalRow(row), where: row.where };
        const key = task.caseOf(item.row);
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return counts.get(key)! > limit ? [] : item;
      });
    },
    async measure(model, items, options) {
      const prompts: Prompt[] = [];
      for (const item of items) prompts.push(await encoded(model, item, options));
      const answers = await answered(model, items, prompts, options);
      return Promise.all(items.map((item, i) => sampleOf(task, item, prompts[i]!, answers[i]!)));
    },
    summarise: (samples, _model, { routing, cache, retrieval }) =>
      summaryOf(samples, { routing, seed: retrieval?.seed ?? null, ...{ eviction: null, kvBudget: null, kvPolicy: null, ...fieldsOfCache(cache) } }),
  });
}

interface Prompt {
  readonly tokens: readonly number[];
  /** How many of them are context. */
  readonly contextTokens: number;
  readonly isCut: boolean;
}

/** The last tokens of a prompt, as many as leave room for the answer. Tokens that the question has a part in count as question. */
async function encoded(model: LanguageModel, { row, where }: RetrievalItem, { signal }: EvaluationOptions): Promise<Prompt> {
  const { contextLength } = model;
  const all = await encode(model, promptText(row), signal);
  const context = await encode(model, row.context, signal);
  const different = context.findIndex((token, i) => token !== all[i]);
  const cut = Math.max(0, all.length + row.maxNewTokens - contextLength);
  const contextTokens = (different < 0 ? context.length : different) - cut;
  if (contextTokens >= 1) return { tokens: all.slice(cut), contextTokens, isCut: cut > 0 };
  throw new FileError(where, `expected question and answer to leave room for some of the context, got a prompt of ${all.length} tokens in a context length of ${contextLength}`);
}

async function encode({ tokenizer }: LanguageModel, text: string, signal: AbortSignal | undefined): Promise<number[]> {
  return tokenizer.encodeLong ? tokenizer.encodeLong(text, { ...(signal && { signal }) }) : tokenizer.encode(text);
}

/** The answer to each prompt; those that may be of the same length are generated together. */
async function answered(model: LanguageModel, items: readonly RetrievalItem[], prompts: readonly Prompt[], options: EvaluationOptions): Promise<string[]> {
  const answers: string[] = [];
  while (answers.length < items.length) {
    const first = answers.length;
    const { maxNewTokens } = items[first]!.row;
    const others = items.findIndex(({ row }, i) => i > first && row.maxNewTokens !== maxNewTokens);
    const together = prompts.slice(first, others < 0 ? items.length : others);
    const onStep = (tokens: number) => options.onPart?.((first + (together.length * tokens) / maxNewTokens) / items.length);
    answers.push(...(await generated(model, together, maxNewTokens, { ...options, onStep })));
  }
  return answers;
}

async function generated(
  model: LanguageModel, prompts: readonly Prompt[], maxNewTokens: number,
  { cache, signal, onStep }: EvaluationOptions & { readonly onStep: (tokens: number) => void },
): Promise<string[]> {
  const { stopTokens, tokenizer } = model;
  const generation = model.generate(prompts.map(({ tokens }) => tokens), {
    maxNewTokens,
    stopTokens,
    temperature: 0,
    contextTokens: prompts.map(({ contextTokens }) => contextTokens),
    ...(cache !== undefined && { cache }),
    ...(signal && { signal }),
  });
  let longest = 0;
  for await (const { sequence } of generation) {
    const { length } = generation.tokens(sequence);
    if (length > longest) onStep((longest = length));
  }
  return prompts.map((_, sequence) => {
    const tokens = generation.tokens(sequence);
    return tokenizer.decode(stopTokens.includes(tokens.at(-1)!) ? tokens.slice(0, -1) : tokens, { skipSpecialTokens: true });
  });
}

async function sampleOf(task: RetrievalTask, { id, row }: RetrievalItem, { tokens, isCut }: Prompt, answer: string): Promise<RetrievalSample> {
  const { index, context, question, answerPrefix, answers, length, maxLength, maxNewTokens, depth, haystack } = row;
  const doc = { index, input: context + question, outputs: answers, length, max_length: maxLength, gen_prefix: answerPrefix.trimStart() };
  const settings = { do_sample: false, temperature: 0, max_gen_toks: maxNewTokens, until: [] };
  return {
    ...(await harnessSample(id, doc, printedList(answers), [[promptText(row), settings]], [answer], ['score'])),
    task: row.task,
    haystack,
    max_length: maxLength,
    depth,
    score: task.score(answer, answers),
    prompt_tokens: tokens.length,
    prompt_cut: isCut,
  };
}

/** A list of plain texts as Python prints it. */
function printedList(texts: readonly string[]): string {
  return `[${texts.map((text) => `'${text}'`).join(', ')}]`;
}
