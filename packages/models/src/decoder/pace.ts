import { type VectorRuntime, Turns } from '@mixsga/backend';

export interface PassOptions {
  /** Aborts within about a tenth of a second: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How much of the pass is done, from 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Lets others have their turn during a long pass, the one who aborts among them. */
export class Pace {
  #done = 0;
  #sinceTurn = 0;
  readonly #turns: Turns;

  /** @param total multiply-adds of the whole pass */
  constructor(
    private readonly runtime: Pick<VectorRuntime, 'workAtOnce' | 'settled'>,
    private readonly total: number,
    private readonly options: PassOptions,
  ) {
    this.#turns = new Turns(options.signal);
  }

  /** To be called after each piece of work. @param work its multiply-adds; 0 where a later call counts them */
  async after(work: number): Promise<void> {
    this.#done += work;
    this.#sinceTurn += work;
    // The clock knows nothing of work that a device has still to do.
    if (this.#sinceTurn < this.runtime.workAtOnce && !this.#turns.due) return;
    await this.runtime.settled();
    this.options.onProgress?.(Math.min(1, this.#done / this.total));
    await this.turn();
  }

  /** Does work that comes in pieces. @param work the multiply-adds of all */
  async through(pieces: Iterable<void>, work: number): Promise<void> {
    for (const _ of pieces) await this.after(0);
    await this.after(work);
  }

  async turn(): Promise<void> {
    await this.#turns.take();
    this.#sinceTurn = 0;
  }
}
