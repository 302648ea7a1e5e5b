// How the next token is chosen from the logits. Settings, their meaning and their order are those of Hugging Face transformers:
// repetition penalty, repeated n-grams, temperature, top-k, top-p, draw.

import { ArgumentError, BackendError, SeededRandom } from '@mixsga/backend';
import type { Want } from './decoder';

export interface SamplingOptions {
  /** 0, the default: the likeliest token, ties to the lower id. Above 0: drawn, the logits divided by it. */
  readonly temperature?: number;
  /** Draws among the k likeliest tokens, and those as likely as the k-th. Default: among all. */
  readonly topK?: number;
  /** Draws among the likeliest tokens, as many as it takes to reach this probability, in (0, 1]. Default 1: among all. */
  readonly topP?: number;
  /**
   * Above 0. The logit of a token that prompt or text has already is divided by it when positive, else multiplied (CTRL,
   * Keskar et al. 2019). Default 1: off.
   */
  readonly repetitionPenalty?: number;
  /** No sequence of this many tokens comes twice in prompt and text. Default: any may. */
  readonly noRepeatNgramSize?: number;
  /** Of the draws. Default 0. */
  readonly seed?: number;
}

/** @throws ArgumentError that names the option which is out of range, or has no effect */
export function validateSampling(options: SamplingOptions): void {
  const { temperature = 0, topK, topP, repetitionPenalty, noRepeatNgramSize, seed = 0 } = options;
  const positive = (value: number) => value > 0 && value < Infinity;
  expect('temperature', 'a number of 0 or more', temperature, temperature === 0 || positive(temperature));
  expect('topK', 'a whole number from 1', topK, Number.isInteger(topK) && topK! >= 1);
  expect('topP', 'a number above 0, at most 1', topP, topP! > 0 && topP! <= 1);
  expect('repetitionPenalty', 'a number above 0', repetitionPenalty, positive(repetitionPenalty!));
  expect('noRepeatNgramSize', 'a whole number from 1', noRepeatNgramSize, Number.isInteger(noRepeatNgramSize) && noRepeatNgramSize! >= 1);
  expect('seed', 'a whole number', seed, Number.isSafeInteger(seed));
  if (temperature === 0 && (topK !== undefined || topP !== undefined)) {
    const name = topK === undefined ? 'topP' : 'topK';
    throw new ArgumentError(`generate: expected a temperature above 0 with ${name}, got 0, which always takes the likeliest token`);
  }
}

function expect(name: string, what: string, value: number | undefined, holds: boolean): void {
  if (value !== undefined && !holds) throw new ArgumentError(`generate: expected ${name} to be ${what}, got ${value}`);
}

/** Chooses the tokens of one sequence. */
export class Sampler {
  readonly #temperature: number;
  readonly #topK: number;
  readonly #topP: number;
  readonly #penalty: number;
  readonly #ngrams: NgramIndex | null;
  readonly #random: SeededRandom;
  readonly #seen = new Set<number>();
  #scores = new Float32Array(0); // [V]
  #weights = new Float64Array(0); // [V]
  #ids = new Int32Array(0); // [V]

  /**
   * @param options as {@link validateSampling} lets pass
   * @param prompt tokens that count as repeated
   * @param generated tokens after them that a sampler of the same options chose: this one goes on as that one would
   */
  constructor(options: SamplingOptions, prompt: ArrayLike<number>, generated: ArrayLike<number>) {
    this.#temperature = options.temperature ?? 0;
    this.#topK = options.topK ?? Infinity;
    this.#topP = options.topP ?? 1;
    this.#penalty = options.repetitionPenalty ?? 1;
    this.#ngrams = options.noRepeatNgramSize === undefined ? null : new NgramIndex(options.noRepeatNgramSize);
    this.#random = new SeededRandom(options.seed ?? 0);
    for (let i = 0; i < prompt.length; i++) this.#remember(prompt[i]!);
    for (let i = 0; i < generated.length; i++) {
      this.#remember(generated[i]!);
      if (this.#temperature > 0) this.#random.next();
    }
  }

  /** What {@link next} needs of the decoder. */
  get want(): Want {
    return this.#temperature === 0 && !this.#edits ? 'argMax' : 'logits';
  }

  /**
   * The next token, which then counts as part of the text.
   * @param logits float32 [V], left as they are
   * @throws ArgumentError when `noRepeatNgramSize` leaves no token; BackendError when the logits are not numbers
   */
  next(logits: Float32Array): number {
    const token = this.#choose(this.#edits ? this.#edited(logits) : logits);
    this.#remember(token);
    return token;
  }

  #choose(scores: Float32Array): number {
    const likeliest = argMax(scores);
    if (this.#temperature === 0) return likeliest;
    if (this.#ids.length !== scores.length) {
      this.#ids = new Int32Array(scores.length);
      this.#weights = new Float64Array(scores.length);
    }
    const least = this.#topK < scores.length ? kthLargest(scores, this.#topK) : -Infinity;
    const weights = this.#weights;
    let kept = 0;
    let total = 0;
    for (let id = 0; id < scores.length; id++) {
      if (scores[id]! < least) continue;
      total += weights[id] = Math.exp((scores[id]! - scores[likeliest]!) / this.#temperature);
      this.#ids[kept++] = id;
    }
    let ids: Int32Array = this.#ids.subarray(0, kept);
    if (this.#topP < 1) {
      // Those below this weight do not make up 1 − topP together.
      const negligible = ((1 - this.#topP) * total) / kept;
      ids = likeliestUpTo(ids.filter((id) => weights[id]! >= negligible), weights, this.#topP * total);
      total = ids.reduce((sum, id) => sum + weights[id]!, 0);
    }
    let rest = this.#random.next() * total;
    for (const id of ids) if ((rest -= weights[id]!) < 0) return id;
    return likeliest; // rounding left a rest
  }

  get #edits(): boolean {
    return this.#penalty !== 1 || this.#ngrams !== null;
  }

  #edited(logits: Float32Array): Float32Array {
    if (this.#scores.length !== logits.length) this.#scores = new Float32Array(logits.length);
    const scores = this.#scores;
    scores.set(logits);
    if (this.#penalty !== 1) {
      for (const id of this.#seen) scores[id] = scores[id]! > 0 ? scores[id]! / this.#penalty : scores[id]! * this.#penalty;
    }
    if (this.#ngrams) for (const id of this.#ngrams.completions()) scores[id] = -Infinity;
    return scores;
  }

  #remember(token: number): void {
    if (this.#penalty !== 1) this.#seen.add(token);
    this.#ngrams?.append(token);
  }
}

/** The n-grams of a growing text. */
class NgramIndex {
  /** The last n − 1 tokens. */
  readonly #last: number[] = [];
  readonly #next = new Map<string, number[]>();

  constructor(readonly size: number) {}

  append(token: number): void {
    const last = this.#last;
    if (last.length === this.size - 1) {
      const key = last.join();
      const next = this.#next.get(key);
      if (next) next.push(token);
      else this.#next.set(key, [token]);
    }
    last.push(token);
    if (last.length === this.size) last.shift();
  }

  /** Tokens that would make the end of the text an n-gram that it has already. */
  completions(): readonly number[] {
    return (this.#last.length === this.size - 1 && this.#next.get(this.#last.join())) || [];
  }
}

/** The index of the largest value, ties to the lower one. */
function argMax(scores: Float32Array): number {
  let best = 0;
  let sum = 0;
  for (let id = 0; id < scores.length; id++) {
    if (scores[id]! > scores[best]!) best = id;
    sum += scores[id]!; // NaN spreads into it; −∞ marks a token that must not come
  }
  if (Number.isNaN(sum) || scores[best] === Infinity) {
    throw new BackendError('generate: expected finite logits, got NaN or infinite ones; check the weights of the model');
  }
  if (scores[best] === -Infinity) {
    throw new ArgumentError('generate: noRepeatNgramSize leaves no token that may come next; make it larger');
  }
  return best;
}

/** The k-th largest value, by a heap of k with the least on top. */
function kthLargest(values: Float32Array, k: number): number {
  const heap = Int32Array.from({ length: k }, (_, id) => id);
  const before = (a: number, b: number) => values[a]! < values[b]!;
  for (let root = (k >> 1) - 1; root >= 0; root--) sink(heap, k, root, before);
  for (let id = k; id < values.length; id++) {
    if (!before(heap[0]!, id)) continue;
    heap[0] = id;
    sink(heap, k, 0, before);
  }
  return values[heap[0]!]!;
}

/**
 * The ids of the largest weights, as few as sum up to `mass`, ties to the lower id. A heap with the largest on top is
 * emptied only as far as needed. Reorders `ids`.
 */
function likeliestUpTo(ids: Int32Array, weights: Float64Array, mass: number): Int32Array {
  const before = (a: number, b: number) => weights[a]! > weights[b]! || (weights[a]! === weights[b]! && a < b);
  let size = ids.length;
  for (let root = (size >> 1) - 1; root >= 0; root--) sink(ids, size, root, before);
  for (let sum = 0; size > 0 && sum < mass; ) {
    const top = ids[0]!;
    sum += weights[top]!;
    size -= 1;
    ids[0] = ids[size]!;
    sink(ids, size, 0, before);
    ids[size] = top; // the heap ends before it
  }
  return ids.subarray(size);
}

/** Moves the entry at `root` of a binary heap down to where none below comes before it. */
function sink(heap: Int32Array, size: number, root: number, before: (a: number, b: number) => boolean): void {
  const id = heap[root]!;
  for (let child = 2 * root + 1; child < size; child = 2 * root + 1) {
    if (child + 1 < size && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, id)) break;
    heap[root] = heap[child]!;
    root = child;
  }
  heap[root] = id;
}
