import { ArgumentError } from '@mixsga/backend';

/** How a stream of tokens is cut into windows. */
export interface WindowOptions {
  /** Predictions in a window. Default: the model's context length. */
  windowLength?: number;
  /**
   * Tokens between the starts of two windows, at most `windowLength`. A smaller stride gives each prediction more
   * context at more cost. Default: `windowLength` (disjoint windows).
   */
  stride?: number;
  /** Windows of one length that run together. Memory and speed only: results do not depend on it. Default 8. */
  batchSize?: number;
  /** Takes only this many of the windows, spread evenly over the stream. Default: all. */
  maxWindows?: number;
  /** Called after each batch. */
  onProgress?: (progress: { windows: number; of: number }) => void;
  /** Aborts between two batches: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** A window reads `length` tokens from `start` on, and predicts the token after each. */
export interface Window {
  readonly start: number;
  readonly length: number;
  /** The first prediction that no earlier window made, counted from the window's start. */
  readonly counted: number;
}

/** Windows of one length, to be run together. */
export interface WindowBatch {
  readonly windows: readonly Window[];
  readonly length: number;
  /** Row-major [windows.length, length]. */
  readonly inputs: Int32Array;
  /** The token after each input, row-major [windows.length, length]. */
  readonly targets: Int32Array;
}

export interface WindowPlan {
  readonly windowLength: number;
  readonly stride: number;
  readonly windows: readonly Window[];
  readonly batchSize: number;
}

/**
 * Cuts `count` tokens into windows so that each token but the first is predicted and counted exactly once (at most
 * once with `maxWindows`). The last window is as short as what is left. It is never padded, since padding would take part in expert choice.
 */
export function planWindows(
  who: string,
  count: number,
  contextLength: number,
  options: Pick<WindowOptions, 'windowLength' | 'stride' | 'batchSize' | 'maxWindows'>,
): WindowPlan {
  const { windowLength = contextLength, batchSize = 8, maxWindows } = options;
  const { stride = windowLength } = options;
  requireCount(who, 'windowLength', windowLength, contextLength, `the model's context length`);
  requireCount(who, 'stride', stride, windowLength, 'windowLength');
  requireCount(who, 'batchSize', batchSize);
  if (maxWindows !== undefined) requireCount(who, 'maxWindows', maxWindows);
  if (count < 2) {
    throw new ArgumentError(`${who}: expected at least 2 tokens (a prediction needs a token before it), got ${count}`);
  }
  const predictions = count - 1;
  const windows: Window[] = [];
  for (let start = 0, done = 0; done < predictions; start += stride) {
    const length = Math.min(windowLength, predictions - start);
    windows.push({ start, length, counted: done - start });
    done = start + length;
  }
  return { windowLength, stride, windows: evenly(windows, maxWindows ?? windows.length), batchSize };
}

/** At most `count` of the windows at even distances, the first among them. */
function evenly(windows: Window[], count: number): Window[] {
  if (windows.length <= count) return windows;
  return Array.from({ length: count }, (_, i) => windows[Math.floor((i * windows.length) / count)]!);
}

/** The windows of a plan in order, neighbours of one length together. */
export function* batches(tokens: Int32Array, plan: WindowPlan): Generator<WindowBatch> {
  for (let first = 0; first < plan.windows.length; ) {
    const length = plan.windows[first]!.length;
    let end = first + 1;
    while (end - first < plan.batchSize && plan.windows[end]?.length === length) end++;
    const windows = plan.windows.slice(first, end);
    const inputs = new Int32Array(windows.length * length);
    const targets = new Int32Array(windows.length * length);
    windows.forEach(({ start }, row) => {
      inputs.set(tokens.subarray(start, start + length), row * length);
      targets.set(tokens.subarray(start + 1, start + length + 1), row * length);
    });
    yield { windows, length, inputs, targets };
    first = end;
  }
}

function requireCount(who: string, name: string, value: number, limit = Infinity, limitName = ''): void {
  if (Number.isInteger(value) && value >= 1 && value <= limit) return;
  const bound = limit === Infinity ? '' : ` of at most ${limit} (${limitName})`;
  throw new ArgumentError(`${who}: expected ${name} to be a whole number from 1 on${bound}, got ${value}`);
}
