import { ArgumentError, expectOptions, nextTask, type WorkOptions } from '@mixsga/backend';

import { DEFAULT_BATCH_SIZE, type EvaluationOptions } from './evaluator';
import { finite } from './finite';
import type { LanguageModel } from './language-model';
import { splitEnd } from './python-text';
import { batchesOfOneLength, type TextWindow } from './windows';

/** The log-likelihood of a window's counted tokens, nats, and whether each of them is the likeliest. */
export interface Score {
  readonly logLikelihood: number;
  readonly greedy: boolean;
}

/**
 * The tokens of a context and its continuation, which alone is counted, as lm-evaluation-harness makes them: white space at the
 * end of the context goes to the continuation; both are tokenised as one text and split where the context alone would end;
 * what does not fit into the model's context length is cut from the left.
 *
 * @param where the row of the data set, for errors
 * @throws ArgumentError when the continuation has no token of its own, or more than the model takes
 */
export function continuationWindow(model: LanguageModel, context: string, continuation: string, where: string): TextWindow {
  const [begin, space] = splitEnd(context);
  const end = space + continuation;
  let given = context === '' ? [] : encode(model, begin);
  let all = context === '' ? model.tokenizer.encode(end, { addSpecialTokens: false }) : encode(model, begin + end);
  if (given.length === 0) {
    const prefix = prefixOf(model);
    given = [prefix];
    if (all[0] !== prefix || context !== '') all = [prefix, ...all];
  }
  const count = all.length - given.length;
  if (count < 1 || count > model.contextLength) {
    throw new ArgumentError(
      `log-likelihood: expected a continuation of 1 to ${model.contextLength} tokens, the model's context length, got ${Math.max(0, count)}: ${JSON.stringify(end.slice(0, 60))}`,
    );
  }
  const tokens = Int32Array.from(all.slice(-(model.contextLength + 1)));
  return { tokens, counted: tokens.length - 1 - count, where };
}

/**
 * Windows that predict every token of a text once, as lm-evaluation-harness makes them: the first begins with the prefix token,
 * the others with the last token of the one before; the last window is a whole one too, where there is text enough
 * before it. The text's own BOS, where the tokenizer adds it, is a token of the text.
 */
export async function rollingWindows(model: LanguageModel, text: string, where: string, options: WorkOptions = {}): Promise<TextWindow[]> {
  const tokens = await tokensOfText(model, text, options);
  const windows: TextWindow[] = [];
  for (let done = 0; done < tokens.length - 1; ) {
    const end = Math.min(done + model.contextLength, tokens.length - 1);
    const begin = Math.max(0, end - model.contextLength);
    windows.push({ tokens: tokens.subarray(begin, end + 1), counted: done - begin, where });
    done = end;
  }
  return windows;
}

/**
 * The tokens of a text of any length, the prefix token before them, so that each can be predicted.
 * @throws ArgumentError for a model without that token; the signal's reason
 */
export async function tokensOfText(model: LanguageModel, text: string, options: WorkOptions = {}): Promise<Int32Array<ArrayBuffer>> {
  expectOptions('tokensOfText', options, { signal: true, onProgress: true });
  const { tokenizer } = model;
  const special = specialTokens(model, text);
  const ids = (await tokenizer.encodeLong?.(text, { ...special, ...options })) ?? tokenizer.encode(text, special);
  const tokens = new Int32Array(1 + ids.length);
  tokens[0] = prefixOf(model);
  tokens.set(ids, 1);
  return tokens;
}

/**
 * Scores windows, those of one length together, `batchSize` at a time.
 * @returns a score for each, in order
 * @throws BackendError that names the row of a log-likelihood which is NaN or infinite
 */
export async function scoreWindows(model: LanguageModel, windows: readonly TextWindow[], options: EvaluationOptions): Promise<Score[]> {
  const { routing, batchSize = DEFAULT_BATCH_SIZE, signal, onPart } = options;
  const order = windows.map((_, index) => index).sort((a, b) => windows[a]!.tokens.length - windows[b]!.tokens.length || a - b);
  const scores = new Array<Score>(windows.length);
  const total = windows.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
  let done = 0;
  for (let from = 0; from < order.length; from += batchSize) {
    const chosen = order.slice(from, from + batchSize);
    for (const batch of batchesOfOneLength(chosen.map((index) => windows[index]!))) {
      await nextTask();
      signal?.throwIfAborted();
      const { nll, greedy } = await model.likelihood(batch.inputs, batch.targets, {
        windows: batch.windows, routing, signal, onProgress: onPart && ((share) => onPart((done + share * batch.inputs.length) / total)),
      });
      done += batch.inputs.length;
      for (let row = 0; row < batch.windows; row++) {
        const index = chosen[batch.first + row]!;
        const [begin, end] = [row * batch.length + windows[index]!.counted, (row + 1) * batch.length];
        scores[index] = {
          logLikelihood: finite('log-likelihood', -nll.subarray(begin, end).reduce((sum, value) => sum + value, 0), windows[index]!.where ?? `window ${index}`),
          greedy: greedy.subarray(begin, end).every((is) => is === 1),
        };
      }
    }
  }
  return scores;
}

/** As the tokenizer says, but a text that begins with the text of the prefix token gets no other. */
function encode(model: LanguageModel, text: string): number[] {
  return model.tokenizer.encode(text, specialTokens(model, text));
}

function specialTokens({ tokenizer, prefixToken }: LanguageModel, text: string): { addSpecialTokens?: false } {
  const prefix = prefixToken === null ? '' : tokenizer.decode([prefixToken]);
  return prefix !== '' && text.startsWith(prefix) ? { addSpecialTokens: false } : {};
}

function prefixOf({ prefixToken }: LanguageModel): number {
  if (prefixToken !== null) return prefixToken;
  throw new ArgumentError('log-likelihood: expected a model with a token that begins a text (BOS or end of text), got one with neither');
}
