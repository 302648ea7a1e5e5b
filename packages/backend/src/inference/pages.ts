import { ArgumentError, BackendError } from '../errors';
import type { Coarsening, StoredFormat } from '../formats/stored-format';
import type { KvType, Packing } from './kv-type';

/** Tokens of a page. Half a page for each expert and layer is what a cache wastes on average. */
export const TOKENS_PER_PAGE = 32;

/**
 * Memory for keys and values, in pages of {@link TOKENS_PER_PAGE} tokens. A token takes `heads` vectors of `headDim` dimensions
 * for its keys and as many for its values, or where pages are joint for both together. The memory is never copied to grow. Who holds which page is the caller's affair.
 *
 * Stores of `int8` quantise what is written (`quantiseHeads`), and give the numbers that this stands for: to write what was read
 * changes nothing.
 */
export interface PageStore {
  readonly type: KvType;
  /** Stored heads of the keys, and as many of the values; of joint pages all vectors. */
  readonly heads: number;
  /** Whether keys and values are in the same vectors: then the values of {@link read} and {@link write} are empty. */
  readonly joint?: boolean;
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
   * Writes tokens to another store of the runtime, of a coarser form and the same element type. Here they stay.
   * @throws ArgumentError when the coarsening is one that only stores on the host can do
   */
  coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void;
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

/** Tokens of one layer in one store: token s is at offset s % TOKENS_PER_PAGE of page `pages[⌊s / TOKENS_PER_PAGE⌋]`. */
export interface Segment {
  readonly store: PageStore;
  readonly pages: readonly number[];
  readonly tokens: number;
  /** The first token that attention sees; default 0. */
  readonly from?: number;
  /** How its tokens are stored; a segment beyond those of a layer's formats has to say. */
  readonly format?: StoredFormat;
}

/** The kernel of a coarsening, for stores that have one of a kind. @throws ArgumentError when it is none of them */
export function coarseningKernel<Kind extends CoarseningKernel['kind']>(who: string, kind: Kind, { kernel }: Coarsening): Extract<CoarseningKernel, { kind: Kind }> {
  if (kernel?.kind === kind) return kernel as Extract<CoarseningKernel, { kind: Kind }>;
  throw new ArgumentError(`${who}.coarsen: expected a coarsening of ${kind} formats, got ${kernel?.kind ?? 'one without a kernel'}; use HostPages`);
}

type CoarseningKernel = NonNullable<Coarsening['kernel']>;

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
