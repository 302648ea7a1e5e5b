import { ArgumentError, expectOptions, SeededRandom } from '@mixsga/backend';

import { shuffled } from './batch-sampler';
import type { Example } from './examples';

export interface InstructionSamplerOptions {
  /** B, rows of a batch. */
  readonly batchSize: number;
  /** Token id of padding; it counts nowhere. */
  readonly padding: number;
  /** Integer: the same seed gives the same batches in the same order. */
  readonly seed: number;
}

export interface InstructionSamplerState {
  seed: number;
  rows: number;
  /** Of all rows together, to notice another set. */
  tokens: number;
  epoch: number;
  /** Rows of the epoch already given. */
  position: number;
}

/** A batch of rows, all arrays row-major [B, T], T being the length of the longest. */
export interface InstructionBatch {
  length: number;
  inputs: Int32Array;
  /** The token that follows each input; −1 in the prompt and in padding, so that responses alone count. */
  targets: Int32Array;
  /** 1 for a token, 0 for padding, which is on the right. */
  mask: Int32Array;
}

/**
 * Batches of instructions with their responses, one to a row: in each epoch every row once, in random order. A batch that an epoch
 * cannot fill is filled from the next one.
 */
export class InstructionSampler {
  readonly #tokens: number;
  #epoch = 0;
  #position = 0;
  #order: Int32Array;

  /** @param examples one or more, each with a token of a response */
  constructor(
    private readonly examples: readonly Example[],
    private readonly options: InstructionSamplerOptions,
  ) {
    expectOptions('InstructionSampler', options, { batchSize: true, padding: true, seed: true });
    this.#tokens = examples.reduce((sum, { tokens }) => sum + tokens.length, 0);
    this.#order = this.#shuffle();
  }

  next(): InstructionBatch {
    const rows = Array.from({ length: this.options.batchSize }, () => {
      if (this.#position === this.#order.length) this.#startEpoch(this.#epoch + 1);
      return this.examples[this.#order[this.#position++]!]!;
    });
    return padded(rows, this.options.padding);
  }

  /** What {@link InstructionSampler.restore} needs, as plain JSON data. */
  state(): InstructionSamplerState {
    return { seed: this.options.seed, rows: this.examples.length, tokens: this.#tokens, epoch: this.#epoch, position: this.#position };
  }

  /**
   * Goes on where {@link InstructionSampler.state} was taken.
   * @throws ArgumentError when the state is of another seed or set, or no state at all
   */
  restore(state: unknown): void {
    const saved = (typeof state === 'object' ? (state ?? {}) : {}) as Partial<InstructionSamplerState>;
    const own = this.state();
    for (const key of ['seed', 'rows', 'tokens'] as const) {
      if (saved[key] !== own[key]) {
        throw new ArgumentError(
          `InstructionSampler.restore: expected a state with ${key} ${own[key]}, got ${String(saved[key])}; resume with the data and settings of the saved run`,
        );
      }
    }
    const { epoch, position } = saved;
    if (!isCount(epoch) || !isCount(position) || position > this.examples.length) {
      throw new ArgumentError(
        `InstructionSampler.restore: expected whole numbers as epoch and position, the latter at most ${this.examples.length}, got ${String(epoch)} and ${String(position)}`,
      );
    }
    this.#startEpoch(epoch);
    this.#position = position;
  }

  #startEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#position = 0;
    this.#order = this.#shuffle();
  }

  #shuffle(): Int32Array {
    return shuffled(this.examples.length, new SeededRandom(this.options.seed, this.#epoch)); // a stream for each epoch
  }
}

function padded(rows: readonly Example[], padding: number): InstructionBatch {
  const length = Math.max(...rows.map(({ tokens }) => tokens.length)) - 1;
  const inputs = new Int32Array(rows.length * length).fill(padding);
  const targets = new Int32Array(rows.length * length).fill(-1);
  const mask = new Int32Array(rows.length * length);
  rows.forEach(({ tokens, prompt }, row) => {
    const start = row * length;
    inputs.set(tokens.subarray(0, -1), start);
    // The last token of the prompt predicts the first of the response.
    targets.set(tokens.subarray(prompt), start + prompt - 1);
    mask.fill(1, start, start + tokens.length - 1);
  });
  return { length, inputs, targets, mask };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
