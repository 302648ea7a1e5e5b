import { ArgumentError, Turns } from '@mixsga/backend';

import { NumpyRandom, PythonRandom } from '../random/python-random';
import type { RetrievalPrompt } from '../row';

/** A task of RULER. */
export interface RulerTask {
  /** Name in lm-evaluation-harness. */
  readonly name: string;
  /** Tokens that a model generates, at most. */
  readonly maxNewTokens: number;
  /** What the answer is hidden in; a `text` is one that is not made here. */
  readonly haystack: 'noise' | 'needles' | 'words' | 'text';
  /**
   * The samples of one length, in order, as the harness makes them when it makes nothing else.
   * @throws ArgumentError when the length has no room for the task
   */
  samples(sizing: Sizing): AsyncGenerator<SizedPrompt>;
}

export interface SizedPrompt extends RetrievalPrompt {
  /** Number of the sample: those that the length has no room for are left out. */
  readonly index: number;
  /** Tokens as the task counts them. */
  readonly tokens: number;
}

/** What samples are made by. */
export class Sizing {
  readonly random: PythonRandom;
  readonly numpy: NumpyRandom;
  readonly #turns: Turns;

  constructor(
    private readonly own: {
      /** Tokens of prompt and answer. */
      readonly length: number;
      /** Default: the seeds of lm-evaluation-harness, 0 for Python's numbers and 1234 for NumPy's. */
      readonly seed?: number | undefined;
      /** The text that haystacks are cut from, its words. */
      readonly words: readonly string[];
      /** Tokens of a text. */
      count(text: string): number;
      readonly signal?: AbortSignal | undefined;
    },
  ) {
    this.random = new PythonRandom(own.seed ?? 0);
    this.numpy = new NumpyRandom(own.seed ?? 1234);
    this.#turns = new Turns(own.signal);
  }

  get length(): number {
    return this.own.length;
  }

  get words(): readonly string[] {
    return this.own.words;
  }

  /** Tokens of a text. Others have their turn meanwhile. @throws the signal's reason */
  async count(text: string): Promise<number> {
    if (this.#turns.due) await this.#turns.take();
    return this.own.count(text);
  }

  /** Ends what would never reach the length. @param pieces of a haystack, each of a token or more @throws ArgumentError past the length */
  expectGrowth(pieces: number): void {
    if (pieces <= this.length) return;
    throw new ArgumentError(`ruler: expected a tokenizer that gives a text at least a token a line, got fewer than ${this.length} for ${pieces} lines; check it`);
  }

  /** @param least tokens of the shortest sample that was tried; null where none could be made */
  tooShort(task: string, least: number | null): ArgumentError {
    const needed = least === null ? '' : `, whose shortest sample took ${least} tokens`;
    return new ArgumentError(`ruler: expected a length with room for ${task}${needed}, got ${this.length}; give a longer one, or leave the task out`);
  }
}
