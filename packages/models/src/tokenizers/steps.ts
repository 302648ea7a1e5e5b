// Long work in steps: a text may have hundreds of megabytes, and whoever encodes it may want to stop.
import { Turns } from '@mixsga/backend';

/** Rounds of a loop, or characters, from one step to the next: at most some milliseconds of work. */
export const STEP = 2 ** 12;

/** Work that can pause after each step and continue later. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** The same, which tells from time to time how much is done, from 0 to 1. */
export type MeasuredSteps<T> = Generator<number | undefined, T, undefined>;

/** Values one by one; undefined where a step ends before the next value. */
export type Stream<T> = Generator<T | undefined, void, undefined>;

export interface TurnOptions {
  /** Aborts within about a tenth of a second: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How much is done, from 0 to 1; not called where that is short. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export function atOnce<T>(steps: MeasuredSteps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same, but others have their turn meanwhile, the one who aborts among them. */
export async function inTurns<T>(steps: MeasuredSteps<T>, { signal, onProgress }: TurnOptions = {}): Promise<T> {
  signal?.throwIfAborted();
  const turns = new Turns(signal);
  let share = 0;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    share = value ?? share;
    if (!turns.due) continue;
    onProgress?.(share);
    await turns.take();
  }
}

/** Characters that a slice has at least. */
const SLICE = 2 ** 16;

/** ASCII and CJK ideographs: no normalization form of Unicode makes them one with what is before them. */
const STANDS_ALONE = /[\0-\x7f\u4e00-\u9fff]/;

/**
 * A text changed slice by slice.
 * @param change may look at a character and the accents after it, no further
 * @param least characters of a slice
 */
export function* inSlices(text: string, change: (slice: string) => string, least = SLICE): Steps<string> {
  if (text.length <= least) return change(text);
  const changed: string[] = [];
  for (let from = 0; from < text.length; ) {
    let to = from + least;
    while (to < text.length && !STANDS_ALONE.test(text[to]!)) to++;
    changed.push(change(text.slice(from, to)));
    from = to;
    yield;
  }
  return changed.join('');
}

/** Turns a piece of text into ids. */
export type Model = (piece: string) => Steps<readonly number[]>;
