import { CACHE_LINE } from '../../wasm/heap';
import type { WasmHeap } from '../../wasm/register';
import { headBytes, type KvType } from '../kv-type';
import type { PageStore, Slot, TokenMove } from '../pages';
import { PageNumbers, poolingFactor } from '../pages';
import type { PageFormat, Pooling } from '../runtime';
import { Block } from './memory';

/** The kernels of an element type. */
const kernelsOf = {
  f32: { pageBytes: 'pageBytes', write: 'writeToken', read: 'readToken', coarsen: 'coarsenToken' },
  int8: { pageBytes: 'int8PageBytes', write: 'writeInt8Token', read: 'readInt8Token', coarsen: 'coarsenInt8Token' },
} as const;

/** Pages in the wasm heap, a block each, as assembly/pages.ts and int8-pages.ts lay them out. */
export class WasmPages implements PageStore {
  readonly type: KvType;
  readonly heads: number;
  readonly headDim: number;
  readonly bytesPerToken: number;
  readonly bytesPerPage: number;
  /** Numbers that lie together, see assembly/pages.ts. */
  readonly chunk: 8 | 16;
  readonly #pageBytes: number;
  readonly #numbers = new PageNumbers();
  readonly #blocks: Block[] = [];
  readonly #heap: WasmHeap;

  constructor(heap: WasmHeap, { heads, headDim, queryHeads = heads, type = 'f32' }: PageFormat) {
    this.#heap = heap;
    this.type = type;
    this.heads = heads;
    this.headDim = headDim;
    this.bytesPerToken = 2 * heads * headBytes(type, headDim);
    this.chunk = (queryHeads / heads) % 4 === 0 ? 8 : 16;
    this.#pageBytes = heap.kernels[this.#kernels.pageBytes](heads, headDim);
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
    this.#load(from, k, v);
    this.store(to, k, v, 1);
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, pooling: Pooling): void {
    const coarse = target as WasmPages;
    const groupSize = this.heads / target.heads;
    const factor = poolingFactor(pooling, groupSize);
    for (const { from, to } of tokens) {
      this.#heap.kernels[this.#kernels.coarsen](
        this.address(from.page), this.chunk, from.offset, coarse.address(to.page), coarse.chunk, to.offset,
        coarse.heads, this.headDim, groupSize, factor,
      );
    }
  }

  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const { k, v, width } = this.#buffers();
    const result = { k: new Float32Array(tokens * width), v: new Float32Array(tokens * width) };
    for (let token = 0; token < tokens; token++) {
      this.#load({ page, offset: token }, k, v);
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
    this.#heap.kernels[this.#kernels.write](this.address(page), this.chunk, offset, k, v, this.heads, this.headDim, step);
  }

  dispose(): void {
    for (const block of this.#blocks) block.dispose();
    this.#blocks.length = 0;
  }

  get #kernels() {
    return kernelsOf[this.type];
  }

  #load({ page, offset }: Slot, k: number, v: number): void {
    this.#heap.kernels[this.#kernels.read](this.address(page), this.chunk, offset, k, v, this.heads, this.headDim);
  }

  #buffers(): { k: number; v: number; width: number } {
    const width = this.heads * this.headDim;
    const k = this.#heap.scratch(2 * width);
    return { k, v: k + 4 * width, width };
  }
}
