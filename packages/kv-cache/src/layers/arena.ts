import { TOKENS_PER_PAGE, type Segment, type Slot, type StoredFormat } from '@mixsga/backend';
import type { SharedPages } from '../shared-pages';

/**
 * The tokens of one format in one layer: slots 0 to tokens − 1 of its pages. A page that other caches hold too is copied
 * before it is written.
 */
export class Arena implements Segment {
  #pages: readonly number[] = [];
  tokens = 0;

  constructor(
    readonly memory: SharedPages,
    readonly format: StoredFormat,
  ) {}

  get store() {
    return this.memory.store;
  }

  /** Never changed in place: another array, when the pages are others. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Bytes of a token's keys and values. */
  get bytesPerToken(): number {
    return this.store.bytesPerToken;
  }

  /** Bytes of the pages; of a page that n caches hold, the nth part. */
  get allocatedBytes(): number {
    return this.#pages.reduce((sum, page) => sum + this.store.bytesPerPage / this.memory.holders(page), 0);
  }

  slot(index: number): Slot {
    return { page: this.#pages[Math.floor(index / TOKENS_PER_PAGE)]!, offset: index % TOKENS_PER_PAGE };
  }

  /**
   * Makes the next `count` slots writable.
   * @throws BackendError when there is no memory for a page; what is cached is as before
   */
  reserve(count: number): void {
    if (this.tokens % TOKENS_PER_PAGE > 0) this.own(this.tokens);
    const added: number[] = [];
    try {
      while (this.#pages.length + added.length < pagesFor(this.tokens + count)) added.push(this.memory.take());
    } catch (error) {
      for (const page of added) this.memory.release(page);
      throw error;
    }
    if (added.length > 0) this.#pages = [...this.#pages, ...added];
  }

  /**
   * Makes the page of a slot this arena's own.
   * @throws BackendError when there is no memory for a copy; what is cached is as before
   */
  own(slot: number): void {
    const index = Math.floor(slot / TOKENS_PER_PAGE);
    const page = this.#pages[index]!;
    if (this.memory.holders(page) === 1) return;
    const copy = this.memory.take();
    this.store.copy(page, copy, Math.min(TOKENS_PER_PAGE, this.tokens - index * TOKENS_PER_PAGE));
    this.memory.release(page);
    this.#pages = this.#pages.with(index, copy);
  }

  /** Drops the tokens from slot `tokens` on, and every page that then holds none. */
  truncate(tokens: number): void {
    this.tokens = tokens;
    const pages = pagesFor(tokens);
    if (this.#pages.length === pages) return;
    for (const page of this.#pages.slice(pages)) this.memory.release(page);
    this.#pages = this.#pages.slice(0, pages);
  }

  /** An arena with the same tokens, which shares their pages. */
  fork(): Arena {
    const copy = new Arena(this.memory, this.format);
    copy.tokens = this.tokens;
    copy.#pages = this.#pages.slice(0, pagesFor(this.tokens));
    for (const page of copy.#pages) this.memory.hold(page);
    return copy;
  }
}

function pagesFor(tokens: number): number {
  return Math.ceil(tokens / TOKENS_PER_PAGE);
}
