import { ArgumentError } from '../../errors';
import { CACHE_LINE } from '../../wasm/heap';
import type { WasmHeap } from '../../wasm/kernel';
import { headBytes, type KvType } from '../kv-type';
import type { Coarsening } from '../../formats/stored-format';
import type { PageStore, Slot, TokenMove } from '../pages';
import { coarseningKernel, PageNumbers } from '../pages';
import { poolingFactor } from '../pooling';
import type { PageFormat } from '../runtime';
import { Block } from './memory';

/** Pages in the wasm heap, a block each. */
export abstract class HeapPages implements PageStore {
  abstract readonly heads: number;
  abstract readonly bytesPerToken: number;
  readonly bytesPerPage: number;
  readonly #numbers = new PageNumbers();
  readonly #blocks: Block[] = [];
  /** Of the blocks, side by side: a step reads them all. */
  readonly #addresses: number[] = [];

  constructor(
    protected readonly heap: WasmHeap,
    readonly headDim: number,
    readonly type: KvType,
    private readonly pageBytes: number,
  ) {
    this.bytesPerPage = pageBytes + CACHE_LINE;
  }

  get allocatedBytes(): number {
    return this.#blocks.length * this.bytesPerPage;
  }

  allocate(): number {
    return this.#numbers.take(() => {
      const block = new Block(this.heap, this.pageBytes);
      this.#blocks.push(block);
      this.#addresses.push(block.address);
    });
  }

  release(page: number): void {
    this.#numbers.release(page);
  }

  address(page: number): number {
    return this.#addresses[page]!;
  }

  copy(from: number, to: number): void {
    const floats = this.pageBytes / 4;
    this.heap.floats(this.address(to), floats).set(this.heap.floats(this.address(from), floats));
  }

  dispose(): void {
    for (const block of this.#blocks) block.dispose();
    this.#blocks.length = 0;
    this.#addresses.length = 0;
  }

  /** The size that kernels know a segment of these pages by, see assembly/segments.ts. */
  abstract sizeFor(queryHeads: number): number;
  abstract move(from: Slot, to: Slot): void;
  abstract coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void;
  abstract read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }>;
  abstract write(page: number, first: number, k: Float32Array, v: Float32Array): void;
}

/** The kernels of an element type. */
const kernelsOf = {
  f32: { pageBytes: 'pageBytes', write: 'writeToken', read: 'readToken', coarsen: 'coarsenToken' },
  int8: { pageBytes: 'int8PageBytes', write: 'writeInt8Token', read: 'readInt8Token', coarsen: 'coarsenInt8Token' },
} as const;

/** Heads of keys and values, as assembly/pages.ts and int8-pages.ts lay them out. */
export class WasmPages extends HeapPages {
  readonly heads: number;
  readonly bytesPerToken: number;
  /** Dimensions that lie together, see assembly/pages.ts. */
  readonly chunk: 8 | 16;

  constructor(heap: WasmHeap, { heads, headDim, queryHeads = heads, type = 'f32' }: PageFormat) {
    super(heap, headDim, type, heap.kernels[kernelsOf[type].pageBytes](heads, headDim));
    this.heads = heads;
    this.bytesPerToken = 2 * heads * headBytes(type, headDim);
    this.chunk = chunkOf(queryHeads / heads);
  }

  /** @throws ArgumentError when the pages are laid out for other query heads */
  sizeFor(queryHeads: number): number {
    const groupSize = queryHeads / this.heads;
    if (chunkOf(groupSize) !== this.chunk) {
      throw new ArgumentError(`attend: expected pages made for ${queryHeads} query heads, which ${this.heads} stored heads would serve in ${groupSize}s`);
    }
    return groupSize;
  }

  move(from: Slot, to: Slot): void {
    const { k, v } = this.#buffers();
    this.#load(from, k, v);
    this.store(to, k, v, 1);
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void {
    const { pooling } = coarseningKernel('WasmPages', 'grouped', coarsening);
    const coarse = target as WasmPages;
    const groupSize = this.heads / target.heads;
    const factor = poolingFactor(pooling, groupSize);
    for (const { from, to } of tokens) {
      this.heap.kernels[this.#kernels.coarsen](
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
      result.k.set(this.heap.floats(k, width), token * width);
      result.v.set(this.heap.floats(v, width), token * width);
    }
    return Promise.resolve(result);
  }

  write(page: number, first: number, k: Float32Array, v: Float32Array): void {
    const buffers = this.#buffers();
    const { width } = buffers;
    for (let token = 0; token < k.length / width; token++) {
      this.heap.floats(buffers.k, width).set(k.subarray(token * width, (token + 1) * width));
      this.heap.floats(buffers.v, width).set(v.subarray(token * width, (token + 1) * width));
      this.store({ page, offset: first + token }, buffers.k, buffers.v, 1);
    }
  }

  /** Writes a token whose stored head j is the head j·step at the addresses of its keys and values. */
  store({ page, offset }: Slot, k: number, v: number, step: number): void {
    this.heap.kernels[this.#kernels.write](this.address(page), this.chunk, offset, k, v, this.heads, this.headDim, step);
  }

  get #kernels() {
    return kernelsOf[this.type];
  }

  #load({ page, offset }: Slot, k: number, v: number): void {
    this.heap.kernels[this.#kernels.read](this.address(page), this.chunk, offset, k, v, this.heads, this.headDim);
  }

  #buffers(): { k: number; v: number; width: number } {
    const width = this.heads * this.headDim;
    const k = this.heap.scratch(2 * width);
    return { k, v: k + 4 * width, width };
  }
}

/** Groups of heads that are worked on in fours have another layout. */
function chunkOf(groupSize: number): 8 | 16 {
  return groupSize % 4 === 0 ? 8 : 16;
}

/** Latents, keys and values of a token in one vector, as assembly/latents.ts lays them out. */
export class WasmLatents extends HeapPages {
  readonly heads = 1;
  readonly joint = true;
  readonly bytesPerToken: number;

  constructor(heap: WasmHeap, rank: number, type: KvType) {
    super(heap, rank, type, heap.kernels.latentPageBytes(rank, type === 'int8'));
    this.bytesPerToken = headBytes(type, rank);
  }

  sizeFor(): number {
    return this.headDim;
  }

  move(from: Slot, to: Slot): void {
    this.#moveTo(this, from, to);
  }

  /** The first dimensions of each latent. */
  coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void {
    coarseningKernel('WasmLatents', 'latent', coarsening);
    for (const { from, to } of tokens) this.#moveTo(target as WasmLatents, from, to);
  }

  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const { headDim: rank } = this;
    const k = new Float32Array(tokens * rank);
    const at = this.heap.scratch(rank);
    for (let token = 0; token < tokens; token++) {
      this.heap.kernels.readLatent(this.address(page), token, at, rank, rank, this.type === 'int8');
      k.set(this.heap.floats(at, rank), token * rank);
    }
    return Promise.resolve({ k, v: new Float32Array(0) });
  }

  write(page: number, first: number, latents: Float32Array): void {
    const { headDim: rank } = this;
    const at = this.heap.scratch(rank);
    for (let token = 0; token < latents.length / rank; token++) {
      this.heap.floats(at, rank).set(latents.subarray(token * rank, (token + 1) * rank));
      this.store({ page, offset: first + token }, at);
    }
  }

  /** Writes the first dimensions of the latent at an address. */
  store({ page, offset }: Slot, from: number): void {
    this.heap.kernels.writeLatent(this.address(page), offset, from, this.headDim, this.type === 'int8');
  }

  #moveTo(target: WasmLatents, from: Slot, to: Slot): void {
    const at = this.heap.scratch(target.headDim);
    this.heap.kernels.readLatent(this.address(from.page), from.offset, at, this.headDim, target.headDim, this.type === 'int8');
    target.store(to, at);
  }
}
