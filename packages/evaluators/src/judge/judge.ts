import { ArgumentError, FileError } from '@mixsga/backend';

import { type DataRow, defineEvaluator, type EvaluationOptions } from '../evaluator';
import { type HarnessSample, harnessSample } from '../harness/sample';
import { parseInstruction } from '../instructions/instruction';
import { groupMeans, mean, standardError } from '../statistics';
import { chatCompletion, type ChatEndpoint, type ChatReply, endpointSettings } from './chat-completion';

const LOWEST = 1;
const HIGHEST = 10;

export interface JudgeItem {
  readonly docId: number;
  /** Of the response that is judged; null where its sample has none. */
  readonly seed: number | null;
  readonly task: string;
  readonly prediction: string;
}

/** As of a `generate_until` task of the harness, the judge being the model and `doc` what it judges. */
export interface JudgeSample extends HarnessSample {
  readonly seed: number | null;
  /** 1 to 10; null where the reply has none. */
  readonly rating: number | null;
  /** Why there is no rating; null where there is one. */
  readonly unrated: string | null;
}

/**
 * Rates responses by a chat model, by the prompt for single answers of MT-bench (Zheng et al., NeurIPS 2023), temperature 0.7. Its rows are
 * the samples of an evaluator of instructions; `options.judge` says where the judge answers. A reply without a rating from 1 to 10 is
 * counted in `unrated` and in no mean.
 */
export const judgeEvaluator = defineEvaluator<JudgeItem, JudgeSample>({
  name: 'judge',
  description: 'ratings from 1 to 10 that a chat model gives to responses: samples of an evaluator of instructions',
  definition: 'MT-bench: rating of single answers, 1 to 10',
  version: 1,
  reads: 'rows',
  higherIsBetter: ['rating'],
  items(_model, { rows = [] }, options) {
    settingsOf(options);
    return rows.slice(0, options.limit).map(itemOf);
  },
  async measure(_model, items, options) {
    const settings = settingsOf(options);
    const replies = await inOrder(items, settings.concurrency, (item) => chatCompletion(settings, judgePrompt(item), options.signal));
    return Promise.all(replies.map((reply, i) => sampleOf(items[i]!, reply, settings)));
  },
  summarise(samples, _model, options) {
    const { url, model, temperature } = settingsOf(options);
    const rated = samples.filter((sample): sample is JudgeSample & { rating: number } => sample.rating !== null);
    const rating = (sample: { rating: number }) => sample.rating;
    const byRow = groupMeans(rated, ({ doc_id }) => doc_id, rating);
    const reasons = samples.flatMap(({ unrated }) => unrated ?? []);
    return {
      metrics: {
        rating: rated.length === 0 ? null : mean(rated.map(rating)),
        rating_stderr: standardError([...byRow.values()]),
        unrated: samples.length - rated.length,
      },
      details: {
        responses: samples.length,
        rows: new Set(samples.map(({ doc_id }) => doc_id)).size,
        judge: { url, model, temperature },
        unratedReasons: Object.fromEntries([...new Set(reasons)].map((reason) => [reason, reasons.filter((each) => each === reason).length])),
      },
    };
  },
});

/** @param task instruction and input */
function judgePrompt({ task, prediction }: JudgeItem): string {
  return (
    '[Instruction]\nPlease act as an impartial judge and evaluate the quality of the response provided by an AI assistant to the user ' +
    'question displayed below. Your evaluation should consider factors such as the helpfulness, relevance, accuracy, depth, creativity, ' +
    'and level of detail of the response. Begin your evaluation by providing a short explanation. Be as objective as possible. After ' +
    `providing your explanation, you must rate the response on a scale of ${LOWEST} to ${HIGHEST} by strictly following this format: ` +
    `"Rating: [[x.xx]]", for example: "Rating: [[5.00]]".\n\n[Question]\n${task}\n\n` +
    `[The Start of Assistant's Answer]\n${prediction}\n[The End of Assistant's Answer]`
  );
}

/** The rating of a reply: the last number in double brackets, since the explanation comes before it. */
export function ratingOf(reply: string): { rating: number } | { unrated: string } {
  const found = [...reply.matchAll(/\[\[\s*(-?\d+(?:\.\d+)?)\s*\]\]/g)].at(-1);
  if (!found) return { unrated: 'a reply without a rating' };
  const rating = Number(found[1]);
  return rating >= LOWEST && rating <= HIGHEST ? { rating } : { unrated: `a rating that is not from ${LOWEST} to ${HIGHEST}` };
}

function settingsOf({ judge }: EvaluationOptions): Required<ChatEndpoint> {
  if (!judge) throw new ArgumentError('judge: expected the address and the model of a judge, got none; set judge.url and judge.model');
  return endpointSettings(judge);
}

function itemOf({ value, where }: DataRow): JudgeItem {
  const { doc_id, doc, seed, prediction } = (value ?? {}) as Record<string, unknown>;
  if (typeof prediction !== 'string' || typeof doc_id !== 'number' || doc === undefined) {
    throw new FileError(where, "expected a sample of an evaluator of instructions with 'doc_id', 'doc' and 'prediction'; is it a file of its samples?");
  }
  const { instruction, input } = parseInstruction({ value: doc, where: `${where}: doc` }, { responses: 'optional' });
  return { docId: doc_id, seed: typeof seed === 'number' ? seed : null, task: input === '' ? instruction : `${instruction}\n\n${input}`, prediction };
}

async function sampleOf(item: JudgeItem, reply: ChatReply, { model, temperature }: Required<ChatEndpoint>): Promise<JudgeSample> {
  const judged = 'text' in reply ? ratingOf(reply.text) : { unrated: reply.malformed };
  const rating = 'rating' in judged ? judged.rating : null;
  const { docId, seed, task, prediction } = item;
  const text = 'text' in reply ? reply.text : '';
  return {
    ...(await harnessSample(docId, { task, prediction }, '', [[judgePrompt(item), { model, temperature }]], [text], ['rating'])),
    filtered_resps: [rating],
    seed,
    rating,
    unrated: 'unrated' in judged ? judged.unrated : null,
  };
}

/**
 * Runs a task for each item, some at once. When one fails, no other is begun, and the results before it are what there is.
 * @throws what the first item's task threw
 */
async function inOrder<Item, Result>(items: readonly Item[], concurrency: number, task: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const errors = new Map<number, unknown>();
  let next = 0;
  const worker = async () => {
    while (next < items.length && errors.size === 0) {
      const i = next++;
      try {
        results[i] = await task(items[i]!);
      } catch (error) {
        errors.set(i, error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  const end = Math.min(items.length, ...errors.keys());
  if (errors.has(0)) throw errors.get(0);
  return results.slice(0, end);
}
