import { type InferenceRuntime, nextTask } from '@mixsga/backend';

export interface PassOptions {
  /** Aborts within about a tenth of a second: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** How much of the pass is done, from 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Lets others have their turn during a long pass, the one who aborts among them, each time that a certain amount of work is done. */
export class Pace {
  #done = 0;
  #sinceTurn = 0;

  /** @param total multiply-adds of the whole pass */
  constructor(
    private readonly runtime: Pick<InferenceRuntime, 'workAtOnce' | 'settled'>,
    private readonly total: number,
    private readonly options: PassOptions,
  ) {}

  /** To be called after each piece of work. @param work its multiply-adds */
  async after(work: number): Promise<void> {
    this.#done += work;
    this.#sinceTurn += work;
    if (this.#sinceTurn < this.runtime.workAtOnce) return;
    this.#sinceTurn = 0;
    await this.runtime.settled();
    this.options.onProgress?.(Math.min(1, this.#done / this.total));
    await this.turn();
  }

  async turn(): Promise<void> {
    await nextTask();
    this.options.signal?.throwIfAborted();
  }
}
