import { ArgumentError } from '@mixsga/backend';

import type { EvaluationOptions } from './evaluator';

/** How a stream of tokens is cut into windows: see {@link EvaluationOptions}. */
export type WindowOptions = Pick<EvaluationOptions, 'windowLength' | 'stride' | 'maxWindows'>;

/** A window predicts every token of it but the first, each from those before it. */
export interface TextWindow {
  /** Token ids: one more than there are predictions. */
  readonly tokens: Int32Array;
  /** The first prediction that no earlier window made, counted from the window's start. */
  readonly counted: number;
  /** The row of the data set that it is of, or the number of the window, for errors. Default: its place in the list. */
  readonly where?: string;
}

/** Windows of one length, to be run together. */
export interface WindowBatch {
  /** Of the first window, in the list that was cut into batches. */
  readonly first: number;
  readonly windows: number;
  /** Predictions in each window. */
  readonly length: number;
  /** Row-major [windows, length]. */
  readonly inputs: Int32Array;
  /** The token after each input, row-major [windows, length]. */
  readonly targets: Int32Array;
}

/**
 * Cuts a stream into windows so that each token but the first is predicted and counted exactly once (at most
 * once with `maxWindows`). The last window is as short as what is left. It is never padded, since padding would take part in expert choice.
 *
 * @throws ArgumentError for an option out of range or fewer than 2 tokens
 */
export function cutWindows(who: string, tokens: Int32Array, contextLength: number, options: WindowOptions): TextWindow[] {
  const { windowLength = contextLength, maxWindows } = options;
  const { stride = windowLength } = options;
  requireCount(who, 'windowLength', windowLength, contextLength, `the model's context length`);
  requireCount(who, 'stride', stride, windowLength, 'windowLength');
  if (maxWindows !== undefined) requireCount(who, 'maxWindows', maxWindows);
  if (tokens.length < 2) {
    throw new ArgumentError(`${who}: expected at least 2 tokens (a prediction needs a token before it), got ${tokens.length}`);
  }
  const predictions = tokens.length - 1;
  const windows: TextWindow[] = [];
  for (let start = 0, done = 0; done < predictions; start += stride) {
    const length = Math.min(windowLength, predictions - start);
    windows.push({ tokens: tokens.subarray(start, start + length + 1), counted: done - start, where: `window ${windows.length}` });
    done = start + length;
  }
  return evenly(windows, maxWindows ?? windows.length);
}

/** At most `count` of a list at even distances, the first among them. */
function evenly<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]!);
}

/** Windows in order, neighbours of one length together: a model takes no others at once. */
export function* batchesOfOneLength(windows: readonly { readonly tokens: ArrayLike<number> }[]): Generator<WindowBatch> {
  for (let first = 0; first < windows.length; ) {
    const length = windows[first]!.tokens.length - 1;
    let end = first + 1;
    while (windows[end]?.tokens.length === length + 1) end++;
    const inputs = new Int32Array((end - first) * length);
    const targets = new Int32Array((end - first) * length);
    windows.slice(first, end).forEach(({ tokens }, row) => {
      for (let t = 0; t < length; t++) {
        inputs[row * length + t] = tokens[t]!;
        targets[row * length + t] = tokens[t + 1]!;
      }
    });
    yield { first, windows: end - first, length, inputs, targets };
    first = end;
  }
}

function requireCount(who: string, name: string, value: number, limit = Infinity, limitName = ''): void {
  if (Number.isInteger(value) && value >= 1 && value <= limit) return;
  const bound = limit === Infinity ? '' : ` of at most ${limit} (${limitName})`;
  throw new ArgumentError(`${who}: expected ${name} to be a whole number from 1 on${bound}, got ${value}`);
}
