import { BackendError, HostPages, TOKENS_PER_PAGE, type PageFormat } from '@mixsga/backend';

/** Pages on the host that know which are taken, hold NaN until they are written, and can run out. */
export class WatchedPages extends HostPages {
  readonly taken = new Set<number>();

  constructor(
    format: PageFormat,
    private readonly memory: Memory,
  ) {
    super(format);
  }

  override allocate(): number {
    if (this.memory.left === 0) throw new BackendError('there is no memory for a page');
    const page = super.allocate();
    this.memory.left--;
    this.taken.add(page);
    this.#spoil(page);
    return page;
  }

  override release(page: number): void {
    super.release(page);
    this.memory.left++;
    this.taken.delete(page);
    this.#spoil(page);
  }

  #spoil(page: number): void {
    const nothing = new Float32Array(TOKENS_PER_PAGE * this.heads * this.headDim).fill(NaN);
    this.write(page, 0, nothing, nothing);
  }
}

/** Pages that can still be taken, of all stores together. */
interface Memory {
  left: number;
}

/** A runtime of {@link WatchedPages} for a pool. */
export class WatchedRuntime {
  readonly stores: WatchedPages[] = [];
  readonly memory: Memory = { left: Infinity };

  pages({ heads, headDim, type }: PageFormat): WatchedPages {
    const store = new WatchedPages({ heads, headDim, ...(type && { type }) }, this.memory);
    this.stores.push(store);
    return store;
  }

  /** Pages taken, of all stores. */
  get taken(): number {
    return this.stores.reduce((sum, { taken }) => sum + taken.size, 0);
  }
}
