import { ArgumentError, Turns } from '@mixsga/backend';

import type { DataRow, EvaluationOptions, RowSources } from '../evaluator';
import type { LanguageModel } from '../language-model';
import { PythonRandom } from './random/python-random';
import { retrievalEvaluator } from './retrieval-evaluator';
import { promptText, type RetrievalPrompt, type RetrievalRow } from './row';
import { firstNumberIs } from './score';
import { sampleSettings } from './settings';

/** Samples of each length and depth, where no limit is given. */
const SAMPLES = 5;
const DEPTHS = 11;
const NEW_TOKENS = 10;
const INSTRUCTION =
  'There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n';
const NOISE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n';

/**
 * A key of five digits at given depths of noise, as long as the length has room: the text of Landmark Attention (Mohtashami and Jaggi, 2023), with keys,
 * lines, depths and score as InfiniteBench has them (Zhang et al., 2024).
 */
export const passkey = retrievalEvaluator({
  name: 'passkey',
  description: 'whether a key of five digits is found in a long context, by its depth and the length',
  definition: 'Landmark Attention: pass key, by depths and first digits as InfiniteBench',
  makeRows: passkeyRows,
  caseOf: ({ maxLength, depth }) => `${maxLength} ${depth}`,
  score: (answer, [key]) => Number(firstNumberIs(answer, key!)),
});

async function passkeyRows(model: LanguageModel, options: EvaluationOptions, { onRow }: RowSources): Promise<DataRow[]> {
  const { lengths, samples, seed } = sampleSettings('passkey', model, options, SAMPLES);
  const depths = depthsOf(options);
  const random = new PythonRandom(seed ?? 0);
  const turns = new Turns(options.signal);
  const rows: DataRow[] = [];
  for (const maxLength of lengths) {
    const lines = linesThatFit(model, maxLength);
    for (const depth of depths) {
      for (let index = 0; index < samples; index++) {
        const key = random.choices('0123456789', 5).join('');
        const value: RetrievalRow = { task: 'passkey', haystack: 'noise', index, ...promptThatFits(model, key, lines, depth, maxLength), maxLength, maxNewTokens: NEW_TOKENS };
        rows.push({ value, where: `passkey: depth ${depth} of ${maxLength} tokens, sample ${index + 1}` });
        onRow?.(rows.length, lengths.length * depths.length * samples);
        if (turns.due) await turns.take();
      }
    }
  }
  return rows;
}

/** As many lines of noise as leave room for a key and an answer. */
function linesThatFit(model: LanguageModel, length: number): number {
  const fits = (lines: number) => tokensOf(model, hidden('00000', 0, lines, 0)) <= length;
  if (!fits(1)) {
    throw new ArgumentError(
      `passkey: expected a length of at least ${tokensOf(model, hidden('00000', 0, 1, 0))} tokens, a line of noise with key, question and answer, got ${length}`,
    );
  }
  let [least, most] = [1, length];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

/** With fewer lines where the key takes more tokens than another. */
function promptThatFits(model: LanguageModel, key: string, most: number, depth: number, maxLength: number): RetrievalPrompt & { readonly length: number } {
  for (let lines = most; ; lines--) {
    const prompt = hidden(key, Math.round(depth * lines), lines, depth);
    const length = tokensOf(model, prompt);
    if (length <= maxLength || lines === 1) return { ...prompt, length };
  }
}

function hidden(key: string, before: number, lines: number, depth: number): RetrievalPrompt {
  const line = `The pass key is ${key}. Remember it. ${key} is the pass key.\n`;
  return {
    context: INSTRUCTION + NOISE.repeat(before) + line + NOISE.repeat(lines - before),
    question: 'What is the pass key?',
    answerPrefix: ' The pass key is',
    answers: [key],
    depth,
  };
}

function tokensOf({ tokenizer }: LanguageModel, prompt: RetrievalPrompt): number {
  return tokenizer.encode(promptText(prompt)).length + NEW_TOKENS;
}

function depthsOf({ retrieval: { depths = DEPTHS } = {} }: EvaluationOptions): number[] {
  if (!(Number.isInteger(depths) && depths >= 1 && depths <= 101)) throw new ArgumentError(`passkey: expected from 1 to 101 depths, got ${depths}`);
  return depths === 1 ? [0.5] : Array.from({ length: depths }, (_, i) => Number((i / (depths - 1)).toFixed(4)));
}
