import { nextTask } from './next-task';

/** Milliseconds. */
const BEFORE_TURN = 40;

/**
 * Tells when work that is done at once has taken so long that others should have their turn: signals, input and timers, the one who
 * aborts among them. The clock decides that alone, never what is computed.
 */
export class Turns {
  #takenAt = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  /** To be asked after each piece of work, of some milliseconds at most. */
  get due(): boolean {
    return performance.now() - this.#takenAt >= BEFORE_TURN;
  }

  /** @throws the signal's reason, when it was aborted */
  async take(): Promise<void> {
    await nextTask();
    this.signal?.throwIfAborted();
    this.#takenAt = performance.now();
  }
}
