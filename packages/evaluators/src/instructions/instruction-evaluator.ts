import { ArgumentError, SeededRandom } from '@mixsga/backend';
import { fieldsOfCache } from '@mixsga/kv-cache';

import {
  defineEvaluator,
  type EvaluationData,
  type EvaluationOptions,
  type Evaluator,
  type GenerationSettings,
  type PublishedDataset,
} from '../evaluator';
import { type HarnessSample, harnessSample } from '../harness/sample';
import type { EvaluationTokenizer, LanguageModel } from '../language-model';
import { rougeL } from '../rouge';
import { groupMeans, mean, standardDeviation, standardError } from '../statistics';
import { encodePrompt, MAX_PROMPT_TOKENS, MAX_TOKENS } from './encode';
import { formatPrompt, type Instruction, parseInstruction } from './instruction';

/** MiniLLM's seeds. */
const SEEDS = [10, 20, 30, 40, 50];

/** A data set of instructions, and which of its rows are measured. */
export interface InstructionSet {
  readonly name: string;
  readonly description: string;
  readonly dataset: PublishedDataset;
  /** Whether rows may lack a reference; their predictions are written down without a score. */
  readonly withoutReferences?: boolean;
  /** Leaves out rows whose first reference has fewer tokens, by the model's tokenizer. */
  readonly minResponseTokens?: number;
  /** Measures this many rows, the first ones. */
  readonly maxRows?: number;
}

export interface InstructionItem {
  /** Number of the row in the data set. */
  readonly row: number;
  readonly doc: unknown;
  readonly instruction: Instruction;
  readonly seed: number;
}

/** As of a `generate_until` task of the harness; `target` is the first reference, '' without one. */
export interface InstructionSample extends HarnessSample {
  readonly seed: number;
  /** The text that the model wrote, without white space around it. */
  readonly prediction: string;
  /** ROUGE-L F1 in percent, of the best reference; null where there is none. */
  readonly rouge_l: number | null;
  readonly new_tokens: number;
  /** Whether the prompt was cut to its first tokens. */
  readonly prompt_cut: boolean;
}

/**
 * The evaluator of a set of instructions as in MiniLLM (Gu et al., ICLR 2024): each row in the template, a response drawn with
 * temperature 1 from the whole distribution for each of five seeds, and its ROUGE-L.
 *
 * A prompt has at most 256 tokens, its first ones, and a response 256; in a model whose context is shorter than both together, a
 * response has at most half of it. What is drawn depends on row and seed alone, not on what else is measured.
 */
export function instructionEvaluator(set: InstructionSet): Evaluator<InstructionItem, InstructionSample> {
  return defineEvaluator({
    name: set.name,
    description: set.description,
    definition: 'MiniLLM: sampled responses, ROUGE-L F1 of rouge_score 0.1.2 with stemmer, best over references',
    version: 1,
    reads: 'rows',
    evicts: true,
    dataset: set.dataset,
    higherIsBetter: ['rouge_l'],
    items(model, data, options) {
      const { seeds } = settingsOf(set, model, options);
      const rows = rowsOf(set, model.tokenizer, data, options.limit);
      return rows.flatMap((row) => seeds.map((seed) => ({ ...row, seed })));
    },
    async measure(model, items, options) {
      const settings = settingsOf(set, model, options);
      const prompts = items.map(({ instruction }) => encodePrompt(model.tokenizer, instruction, settings.maxPromptTokens));
      const responses = await respond(model, prompts.map(({ prompt }) => prompt), items, settings, options);
      return Promise.all(items.map((item, i) => sampleOf(item, responses[i]!, prompts[i]!.promptCut, settings, model)));
    },
    summarise(samples, model, options) {
      const { seeds, ...settings } = settingsOf(set, model, options);
      const scored = samples.filter((sample): sample is InstructionSample & { rouge_l: number } => sample.rouge_l !== null);
      const score = (sample: { rouge_l: number }) => sample.rouge_l;
      const bySeed = groupMeans(scored, ({ seed }) => seed, score);
      const byRow = groupMeans(scored, ({ doc_id }) => doc_id, score);
      return {
        metrics: {
          rouge_l: scored.length === 0 ? null : mean([...bySeed.values()]),
          rouge_l_std: standardDeviation([...bySeed.values()]),
          rouge_l_stderr: standardError([...byRow.values()]),
        },
        details: {
          rows: new Set(samples.map(({ doc_id }) => doc_id)).size,
          rowsWithReference: byRow.size,
          seeds,
          rougeLBySeed: Object.fromEntries(bySeed),
          ...settings,
          ...{ eviction: null, kvBudget: null, kvPolicy: null, ...fieldsOfCache(options.cache) },
          promptsCut: new Set(samples.filter(({ prompt_cut }) => prompt_cut).map(({ doc_id }) => doc_id)).size,
          meanNewTokens: mean(samples.map(({ new_tokens }) => new_tokens)),
        },
      };
    },
  });
}

type Settings = Required<Pick<GenerationSettings, 'seeds' | 'temperature' | 'topP' | 'maxNewTokens'>> & {
  readonly topK: number | null;
  readonly noRepeatNgramSize: number | null;
  readonly maxPromptTokens: number;
};

function settingsOf({ name }: InstructionSet, { contextLength }: LanguageModel, { generation = {} }: EvaluationOptions): Settings {
  const { seeds = SEEDS, temperature = 1, topP = 1, topK = null, noRepeatNgramSize = null } = generation;
  const { maxNewTokens = Math.min(MAX_TOKENS - MAX_PROMPT_TOKENS, Math.floor(contextLength / 2)) } = generation;
  if (seeds.length === 0 || new Set(seeds).size < seeds.length || !seeds.every(Number.isSafeInteger)) {
    throw new ArgumentError(`${name}: expected seeds to be 1 or more different whole numbers, got [${seeds.join(', ')}]`);
  }
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 1 && maxNewTokens < contextLength)) {
    throw new ArgumentError(
      `${name}: expected maxNewTokens from 1 to ${contextLength - 1}, below the model's context length of ${contextLength}, got ${maxNewTokens}`,
    );
  }
  const maxPromptTokens = Math.min(MAX_PROMPT_TOKENS, contextLength - maxNewTokens);
  return { seeds, temperature, topP, topK, maxNewTokens, noRepeatNgramSize, maxPromptTokens };
}

/** The rows to measure. Rows after the last of them are not looked at. */
function rowsOf(
  { withoutReferences, minResponseTokens = 0, maxRows = Infinity }: InstructionSet,
  tokenizer: EvaluationTokenizer,
  { rows = [] }: EvaluationData,
  limit = Infinity,
): Omit<InstructionItem, 'seed'>[] {
  const kept: Omit<InstructionItem, 'seed'>[] = [];
  for (const [row, dataRow] of rows.entries()) {
    if (kept.length === Math.min(maxRows, limit)) break;
    const instruction = parseInstruction(dataRow, { responses: withoutReferences ? 'optional' : 'required' });
    const [response = ''] = instruction.responses;
    if (minResponseTokens > 0 && tokenizer.encode(response, { addSpecialTokens: false }).length < minResponseTokens) continue;
    kept.push({ row, doc: dataRow.value, instruction });
  }
  return kept;
}

/** The tokens of a response to each prompt, without the one that ends it. */
async function respond(
  model: LanguageModel,
  prompts: readonly number[][],
  items: readonly InstructionItem[],
  { temperature, topP, topK, maxNewTokens, noRepeatNgramSize }: Settings,
  options: EvaluationOptions,
): Promise<number[][]> {
  const { stopTokens } = model;
  const generation = model.generate(prompts, {
    maxNewTokens,
    stopTokens,
    temperature,
    // The row goes into the draws, so that rows of the same seed do not share them.
    seeds: items.map(({ row, seed }) => new SeededRandom(seed, row).nextInt(2 ** 32)),
    ...(temperature > 0 && { topP, ...(topK !== null && { topK }) }),
    ...(noRepeatNgramSize !== null && { noRepeatNgramSize }),
    ...(options.cache !== undefined && { cache: options.cache }),
    ...(options.signal && { signal: options.signal }),
  });
  for await (const event of generation) void event; // runs it to its end
  return prompts.map((_, sequence) => {
    const tokens = generation.tokens(sequence);
    return stopTokens.includes(tokens.at(-1)!) ? tokens.slice(0, -1) : tokens;
  });
}

async function sampleOf(
  { row, doc, instruction, seed }: InstructionItem,
  response: readonly number[],
  promptCut: boolean,
  { temperature, topP, topK, maxNewTokens, noRepeatNgramSize }: Settings,
  { tokenizer }: LanguageModel,
): Promise<InstructionSample> {
  const text = tokenizer.decode(response, { skipSpecialTokens: true });
  const prediction = text.trim();
  const { responses } = instruction;
  const isScored = responses.length > 0;
  const settings = {
    do_sample: temperature > 0,
    temperature,
    top_p: topP,
    top_k: topK ?? 0,
    max_gen_toks: maxNewTokens,
    no_repeat_ngram_size: noRepeatNgramSize ?? 0,
    seed,
  };
  return {
    ...(await harnessSample(row, doc, responses[0] ?? '', [[formatPrompt(instruction), settings]], [text], isScored ? ['rouge_l'] : [])),
    filtered_resps: [prediction],
    seed,
    prediction,
    rouge_l: isScored ? 100 * rougeL(prediction, responses).fmeasure : null,
    new_tokens: response.length,
    prompt_cut: promptCut,
  };
}
