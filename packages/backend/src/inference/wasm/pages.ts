import { CACHE_LINE } from '../../wasm/heap';
import type { WasmHeap } from '../../wasm/register';
import type { PageStore, Slot, TokenMove } from '../pages';
import { PageNumbers, poolingFactor } from '../pages';
import type { Pooling } from '../runtime';
import { Block } from './memory';

/** Pages in the wasm heap, a block each, as assembly/pages.ts lays them out. */
export class WasmPages implements PageStore {
  readonly bytesPerPage: number;
  /** Numbers that lie together, see assembly/pages.ts. */
  readonly chunk: 8 | 16;
  readonly #pageBytes: number;
  readonly #numbers = new PageNumbers();
  readonly #blocks: Block[] = [];
  readonly #heap: WasmHeap;

  constructor(
    heap: WasmHeap,
    readonly heads: number,
    readonly headDim: number,
    queryHeads: number,
  ) {
    this.#heap = heap;
    this.chunk = (queryHeads / heads) % 4 === 0 ? 8 : 16;
    this.#pageBytes = heap.kernels.pageBytes(heads, headDim);
    this.bytesPerPage = this.#pageBytes + CACHE_LINE;
  }

  get allocatedBytes(): number {
    return this.#blocks.length * this.bytesPerPage;
  }

  allocate(): number {
    return this.#numbers.take(() => {
      this.#blocks.push(new Block(this.#heap, this.#pageBytes));
    });
  }

  release(page: number): void {
    this.#numbers.release(page);
  }

  address(page: number): number {
    return this.#blocks[page]!.address;
  }

  /** Where some of the pages lie, those from index `first` to `end` − 1. */
  addresses(pages: readonly number[], first: number, end: number): number[] {
    return pages.slice(first, end).map((page) => this.address(page));
  }

  copy(from: number, to: number): void {
    const floats = this.#pageBytes / 4;
    this.#heap.floats(this.address(to), floats).set(this.#heap.floats(this.address(from), floats));
  }

  move(from: Slot, to: Slot): void {
    const { k, v } = this.#buffers();
    this.#heap.kernels.readToken(this.address(from.page), this.chunk, from.offset, k, v, this.heads, this.headDim);
    this.store(to, k, v, 1);
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, pooling: Pooling): void {
    const coarse = target as WasmPages;
    const groupSize = this.heads / target.heads;
    const factor = poolingFactor(pooling, groupSize);
    for (const { from, to } of tokens) {
      this.#heap.kernels.coarsenToken(
        this.address(from.page), this.chunk, from.offset, coarse.address(to.page), coarse.chunk, to.offset,
        coarse.heads, this.headDim, groupSize, factor,
      );
    }
  }

  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const { k, v, width } = this.#buffers();
    const result = { k: new Float32Array(tokens * width), v: new Float32Array(tokens * width) };
    for (let token = 0; token < tokens; token++) {
      this.#heap.kernels.readToken(this.address(page), this.chunk, token, k, v, this.heads, this.headDim);
      result.k.set(this.#heap.floats(k, width), token * width);
      result.v.set(this.#heap.floats(v, width), token * width);
    }
    return Promise.resolve(result);
  }

  write(page: number, first: number, k: Float32Array, v: Float32Array): void {
    const buffers = this.#buffers();
    const { width } = buffers;
    for (let token = 0; token < k.length / width; token++) {
      this.#heap.floats(buffers.k, width).set(k.subarray(token * width, (token + 1) * width));
      this.#heap.floats(buffers.v, width).set(v.subarray(token * width, (token + 1) * width));
      this.store({ page, offset: first + token }, buffers.k, buffers.v, 1);
    }
  }

  /** Writes a token whose stored head j is the head j·step at the addresses of its keys and values. */
  store({ page, offset }: Slot, k: number, v: number, step: number): void {
    this.#heap.kernels.writeToken(this.address(page), this.chunk, offset, k, v, this.heads, this.headDim, step);
  }

  dispose(): void {
    for (const block of this.#blocks) block.dispose();
    this.#blocks.length = 0;
  }

  #buffers(): { k: number; v: number; width: number } {
    const width = this.heads * this.headDim;
    const k = this.#heap.scratch(2 * width);
    return { k, v: k + 4 * width, width };
  }
}
