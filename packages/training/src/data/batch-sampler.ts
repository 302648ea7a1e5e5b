import { ArgumentError, expectOptions, SeededRandom } from '@mixsga/backend';

/** Token ids that may lie in memory or in a file. An Int32Array is one. */
export interface TokenStream {
  readonly length: number;
  /** int32 [end − start] */
  subarray(start: number, end: number): Int32Array;
}

export interface BatchSamplerOptions {
  /** B, windows of a batch. */
  batchSize: number;
  /** T, tokens of a window. */
  sequenceLength: number;
  /** Integer: the same seed gives the same batches in the same order. */
  seed: number;
}

export interface BatchSamplerState {
  seed: number;
  sequenceLength: number;
  /** Length of the token stream, to notice another corpus. */
  tokens: number;
  epoch: number;
  /** Windows of the epoch already given. */
  position: number;
}

/**
 * Batches of training windows: in each epoch the token stream is cut into windows of T, from a random offset
 * below T on, that come in random order, each once; so every token but fewer than T at either end is a target
 * exactly once an epoch. A batch that an epoch cannot fill is filled from the next one.
 */
export class BatchSampler {
  #epoch = 0;
  #position = 0;
  /** Where the first window of the epoch starts. */
  #offset = 0;
  /** The windows of the epoch in the order in which they come, by their place in the stream. */
  #order: Int32Array;

  /**
   * @param tokens [N]
   * @throws ArgumentError when N is less than T + 1, or B or T is not a positive whole number
   */
  constructor(
    private readonly tokens: TokenStream,
    private readonly options: BatchSamplerOptions,
  ) {
    expectOptions('BatchSampler', options, { batchSize: true, sequenceLength: true, seed: true });
    for (const key of ['batchSize', 'sequenceLength'] as const) {
      if (!Number.isInteger(options[key]) || options[key] < 1) {
        throw new ArgumentError(`BatchSampler: expected ${key} to be a positive whole number, got ${String(options[key])}`);
      }
    }
    if (tokens.length <= options.sequenceLength) {
      throw new ArgumentError(
        `BatchSampler: a window of ${options.sequenceLength} tokens and its next token need ${options.sequenceLength + 1} tokens, the corpus has ${tokens.length}; add text or lower sequenceLength`,
      );
    }
    this.#order = this.#shuffledOrder();
  }

  /** The next batch: inputs and targets int32 [B·T], row-major; a target is the token that follows its input. */
  next(): { inputs: Int32Array; targets: Int32Array } {
    const { batchSize, sequenceLength } = this.options;
    const inputs = new Int32Array(batchSize * sequenceLength);
    const targets = new Int32Array(batchSize * sequenceLength);
    for (let row = 0; row < batchSize; row++) {
      if (this.#position === this.#order.length) this.#startEpoch(this.#epoch + 1);
      const start = this.#offset + this.#order[this.#position++]! * sequenceLength;
      const window = this.tokens.subarray(start, start + sequenceLength + 1);
      inputs.set(window.subarray(0, -1), row * sequenceLength);
      targets.set(window.subarray(1), row * sequenceLength);
    }
    return { inputs, targets };
  }

  /** What {@link BatchSampler.restore} needs, as plain JSON data. */
  state(): BatchSamplerState {
    const { seed, sequenceLength } = this.options;
    return { seed, sequenceLength, tokens: this.tokens.length, epoch: this.#epoch, position: this.#position };
  }

  /**
   * Goes on where {@link BatchSampler.state} was taken.
   * @throws ArgumentError when the state is of another seed, window length or corpus, or no state at all
   */
  restore(state: unknown): void {
    const saved = (typeof state === 'object' ? (state ?? {}) : {}) as Partial<BatchSamplerState>;
    const own = this.state();
    for (const key of ['seed', 'sequenceLength', 'tokens'] as const) {
      if (saved[key] !== own[key]) {
        throw new ArgumentError(
          `BatchSampler.restore: expected a state with ${key} ${own[key]}, got ${String(saved[key])}; resume with the corpus and settings of the saved run`,
        );
      }
    }
    const { epoch, position } = saved;
    if (!isCount(epoch) || !isCount(position)) {
      throw new ArgumentError(`BatchSampler.restore: expected whole numbers as epoch and position, got ${String(epoch)} and ${String(position)}`);
    }
    this.#startEpoch(epoch);
    if (position > this.#order.length) {
      throw new ArgumentError(`BatchSampler.restore: expected a position of at most ${this.#order.length} windows, got ${position}`);
    }
    this.#position = position;
  }

  #startEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#position = 0;
    this.#order = this.#shuffledOrder();
  }

  #shuffledOrder(): Int32Array {
    const { seed, sequenceLength } = this.options;
    const random = new SeededRandom(seed, this.#epoch); // a stream for each epoch: a state is two numbers
    const targets = this.tokens.length - 1;
    this.#offset = random.nextInt(Math.min(sequenceLength, targets - sequenceLength + 1));
    return shuffled(Math.floor((targets - this.#offset) / sequenceLength), random);
  }
}

/** 0 to n − 1 in random order. */
export function shuffled(n: number, random: SeededRandom): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = random.nextInt(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
