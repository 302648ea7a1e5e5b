import { BackendError } from '../errors';
import type { KvType, Packing } from './kv-type';

/** Tokens of a page. Half a page for each expert and layer is what a cache wastes on average. */
export const TOKENS_PER_PAGE = 32;

/**
 * Memory for keys and values, in pages of {@link TOKENS_PER_PAGE} tokens. A token takes `heads` heads of `headDim` numbers
 * for its keys and as many for its values. The memory is never copied to grow. Who holds which page is the caller's affair.
 *
 * Stores of `int8` quantise what is written (`quantiseHeads`), and give the numbers that this stands for: to write what was read
 * changes nothing.
 */
export interface PageStore {
  readonly type: KvType;
  /** Stored KV heads. */
  readonly heads: number;
  /** Those of the values, where they are not as many. */
  readonly valueHeads?: number;
  readonly headDim: number;
  /** How a token is packed, where that is not by the element type. */
  readonly packing?: Packing;
  /** Bytes of a token's keys and values: the numbers, and with int8 their scales. */
  readonly bytesPerToken: number;
  /** Bytes of a page as allocated. */
  readonly bytesPerPage: number;
  /** Bytes of all buffers as they are, whether their pages are taken or free. */
  readonly allocatedBytes: number;
  /**
   * The number of a page with undefined contents, taken until it is released.
   * @throws BackendError when there is no memory for it; nothing has changed then
   */
  allocate(): number;
  /** Gives a page back, to be taken again. */
  release(page: number): void;
  /** Copies the first `tokens` tokens of a page to another, of which those behind them are undefined then. */
  copy(from: number, to: number, tokens: number): void;
  /** Copies one token. */
  move(from: Slot, to: Slot): void;
  /**
   * Writes tokens to another store of the runtime that has fewer heads, a divisor of these, and the same type and head dimension:
   * each run of heads becomes one. Stores on the host also take a smaller head dimension instead of fewer heads: the first numbers of each
   * head are kept. Here the tokens stay.
   */
  coarsen(tokens: readonly TokenMove[], target: PageStore, pooling: Pooling): void;
  /** The first `tokens` tokens of a page: float32 [tokens, heads, headDim], whatever the layout in memory. */
  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }>;
  /** Writes tokens, laid out as {@link read} gives them, from slot `first` of the page on. */
  write(page: number, first: number, k: Float32Array, v: Float32Array): void;
  /** Frees every buffer. */
  dispose(): void;
}

/** Where a token lies in a store. */
export interface Slot {
  readonly page: number;
  /** 0 to TOKENS_PER_PAGE − 1. */
  readonly offset: number;
}

/** A token's place now, and where it goes. */
export interface TokenMove {
  readonly from: Slot;
  readonly to: Slot;
}

/** What a group of g heads becomes: their mean, or their sum over √g. */
export type Pooling = 'mean' | 'root';

/** What the sum of a group of `size` heads is multiplied by. */
export function poolingFactor(pooling: Pooling, size: number): number {
  return 1 / (pooling === 'root' ? Math.sqrt(size) : size);
}

/** Tokens of one layer in one store: token s is at offset s % TOKENS_PER_PAGE of page `pages[⌊s / TOKENS_PER_PAGE⌋]`. */
export interface Segment {
  readonly store: PageStore;
  readonly pages: readonly number[];
  readonly tokens: number;
  /** The first token that attention sees; default 0. */
  readonly from?: number;
}

/** Hands out page numbers, the free ones first; the buffers are somebody else's. */
export class PageNumbers {
  #next = 0;
  readonly #free: number[] = [];
  readonly #taken = new Set<number>();

  /** @param grow makes room for one page more than there was; what it throws leaves everything as it is */
  take(grow: (page: number) => void): number {
    let page = this.#free.pop();
    if (page === undefined) {
      grow(this.#next);
      page = this.#next++;
    }
    this.#taken.add(page);
    return page;
  }

  release(page: number): void {
    if (!this.#taken.delete(page)) throw new BackendError(`PageStore: expected a page that is taken, got ${page}`);
    this.#free.push(page);
  }
}
