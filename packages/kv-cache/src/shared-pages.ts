import type { PageStore } from '@mixsga/backend';

/** The pages of a store, each with its number of holders. The last one to let go gives it back to the store. */
export class SharedPages {
  readonly #holders: number[] = [];

  constructor(readonly store: PageStore) {}

  /** A page with one holder. @throws BackendError when there is no memory for it */
  take(): number {
    const page = this.store.allocate();
    this.#holders[page] = 1;
    return page;
  }

  hold(page: number): void {
    this.#holders[page]!++;
  }

  release(page: number): void {
    if (--this.#holders[page]! === 0) this.store.release(page);
  }

  holders(page: number): number {
    return this.#holders[page]!;
  }
}
