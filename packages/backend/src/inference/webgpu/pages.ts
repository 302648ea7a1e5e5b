import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors';
import type { Coarsening } from '../../formats/stored-format';
import type { Program, WebgpuDevice } from '../../webgpu/device';
import { headBytes, type KvType } from '../kv-type';
import type { PageStore, Slot, TokenMove } from '../pages';
import { coarseningKernel, PageNumbers, TOKENS_PER_PAGE } from '../pages';
import { poolingFactor } from '../pooling';
import type { PageFormat } from '../runtime';
import { coarsenInt8Program, dequantiseProgram, headElements, quantiseRowsProgram } from './int8-pages';
import { Workspace } from './memory';
import { elementwise } from './rows';

const FIRST_CHUNK_PAGES = 16;

/** Where a page lies: it is number `index` of the pages in a tensor. */
export interface Place {
  readonly chunk: Tensor;
  readonly index: number;
}

/** Rows of keys and values on the device. */
interface RowSource {
  readonly k: Tensor;
  readonly v: Tensor;
  /** Where in `v` the rows of values begin. Default 0. */
  readonly v0?: number;
  /** Heads of a row for each that is stored, all of them the same. */
  readonly groupSize: number;
  /** Stores a token only when its route, at this place, is the expert. int8 alone. */
  readonly route?: { readonly routes: Tensor; readonly at: number; readonly expert: number };
}

/**
 * Pages in tensors on the device. When they are full there is one more tensor, of half the size of all others together. A
 * page has its keys as [head, dimension, token], so that threads for neighbouring tokens read neighbouring elements, and
 * then its values as [head, token, dimension]. With int8 words take the place of dimensions, see int8-pages.ts.
 */
export class WebgpuPages implements PageStore {
  readonly type: KvType;
  readonly heads: number;
  readonly headDim: number;
  readonly bytesPerToken: number;
  readonly bytesPerPage: number;
  readonly #numbers = new PageNumbers();
  readonly #chunks: Tensor[] = [];
  /** By page number. */
  readonly #places: Place[] = [];

  constructor(
    readonly device: WebgpuDevice,
    { heads, headDim, type = 'f32' }: PageFormat,
    /** Told when the store reads from the device. */
    readonly onRead: () => void,
  ) {
    this.type = type;
    this.heads = heads;
    this.headDim = headDim;
    this.bytesPerToken = 2 * heads * headBytes(type, headDim);
    this.bytesPerPage = 4 * this.pageSize;
  }

  /** Elements of a page. */
  get pageSize(): number {
    return 2 * TOKENS_PER_PAGE * this.heads * this.#elements;
  }

  get allocatedBytes(): number {
    return this.#chunks.reduce((sum, { size }) => sum + 4 * size, 0);
  }

  allocate(): number {
    return this.#numbers.take((page) => {
      if (page >= this.#places.length) this.#grow();
    });
  }

  release(page: number): void {
    this.#numbers.release(page);
  }

  place(page: number): Place {
    return this.#places[page]!;
  }

  /** First element of a page in its chunk. */
  base(page: number): number {
    return this.place(page).index * this.pageSize;
  }

  copy(from: number, to: number, tokens: number): void {
    this.#move({ page: from, offset: 0 }, { page: to, offset: 0 }, tokens);
  }

  move(from: Slot, to: Slot): void {
    this.#move(from, to, 1);
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void {
    const { pooling } = coarseningKernel('WebgpuPages', 'grouped', coarsening);
    const coarse = target as WebgpuPages;
    const { heads, headDim } = coarse;
    const groupSize = this.heads / heads;
    const { numbers } = Workspace.of(this.device);
    const lists = new Map<Tensor, Map<Tensor, number[]>>();
    for (const { from, to } of tokens) {
      const [source, result] = [this.place(from.page).chunk, coarse.place(to.page).chunk];
      if (!lists.has(source)) lists.set(source, new Map());
      const byResult = lists.get(source)!;
      if (!byResult.has(result)) byResult.set(result, []);
      byResult.get(result)!.push(this.base(from.page), from.offset, coarse.base(to.page), to.offset);
    }
    for (const [source, byResult] of lists) {
      for (const [result, list] of byResult) {
        const entries = numbers.put(Int32Array.from(list));
        this.device.run(this.type === 'int8' ? coarsenInt8Program : coarsenProgram, {
          result,
          inputs: { source, numbers: numbers.tensor },
          uniforms: { heads, headDim, groupSize, factor: poolingFactor(pooling, groupSize), entries },
          groups: this.type === 'int8' ? elementwise(2 * heads, list.length / 4) : elementwise(heads * headDim, list.length / 2),
        });
      }
    }
  }

  async read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const width = this.heads * this.headDim;
    const both = this.device.tensor([2 * TOKENS_PER_PAGE * width], 'float32');
    try {
      this.device.run(this.type === 'int8' ? dequantiseProgram : unpackProgram, {
        result: both,
        inputs: { chunk: this.place(page).chunk },
        uniforms: { heads: this.heads, headDim: this.headDim, page: this.base(page) },
        groups: elementwise(width, 2 * TOKENS_PER_PAGE),
      });
      this.onRead();
      const values = (await this.device.read(both)) as Float32Array;
      const from = TOKENS_PER_PAGE * width;
      return { k: values.slice(0, tokens * width), v: values.slice(from, from + tokens * width) };
    } finally {
      both.dispose();
    }
  }

  write(page: number, first: number, k: Float32Array, v: Float32Array): void {
    const width = this.heads * this.headDim;
    const values = new Float32Array(2 * k.length);
    values.set(k);
    values.set(v, k.length);
    const both = this.device.tensor([values.length], 'float32', values);
    const tokens = Array.from({ length: k.length / width }, (_, token) => ({ row: token, to: { page, offset: first + token } }));
    this.storeRows(tokens, { k: both, v: both, v0: k.length, groupSize: 1 });
    both.dispose();
  }

  /** Writes rows of keys and values to slots; with int8 only where a token's route allows it. */
  storeRows(tokens: readonly { readonly row: number; readonly to: Slot }[], source: RowSource): void {
    const { heads, headDim } = this;
    const { numbers } = Workspace.of(this.device);
    const byChunk = new Map<Tensor, number[]>();
    for (const { row, to } of tokens) {
      const { chunk } = this.place(to.page);
      if (!byChunk.has(chunk)) byChunk.set(chunk, []);
      byChunk.get(chunk)!.push(row, this.base(to.page), to.offset);
    }
    const { k, v, v0 = 0, groupSize, route } = source;
    for (const [result, list] of byChunk) {
      const entries = numbers.put(Int32Array.from(list));
      const inputs = { k, v, numbers: numbers.tensor, routes: route?.routes ?? numbers.tensor };
      const uniforms = { heads, headDim, groupSize, entries, v0, route: route?.at ?? -1, expert: route?.expert ?? 0 };
      const rows = list.length / 3;
      if (this.type === 'int8') this.device.run(quantiseRowsProgram, { result, inputs, uniforms, groups: elementwise(2 * heads, rows) });
      else this.device.run(storeRowsProgram, { result, inputs, uniforms, groups: elementwise(heads * headDim, 2 * rows) });
    }
  }

  dispose(): void {
    tf.dispose(this.#chunks);
    this.#chunks.length = 0;
    this.#places.length = 0;
  }

  get #elements(): number {
    return headElements(this.type, this.headDim);
  }

  #grow(): void {
    const most = Math.floor(this.device.maxTensorBytes / this.bytesPerPage);
    if (most === 0) {
      throw new BackendError(
        `webgpu: expected pages of at most ${this.device.maxTensorBytes} bytes, which is what a buffer of this device can ` +
          `have, got ${this.bytesPerPage} for ${this.heads} heads of ${this.headDim}`,
      );
    }
    const pages = Math.min(most, Math.max(FIRST_CHUNK_PAGES, Math.ceil(this.#places.length / 2)));
    const chunk = this.device.tensor([pages * this.pageSize], this.type === 'int8' ? 'int32' : 'float32');
    this.#chunks.push(chunk);
    for (let index = 0; index < pages; index++) this.#places.push({ chunk, index });
  }

  #move(from: Slot, to: Slot, tokens: number): void {
    const [source, target] = [this.place(from.page).chunk, this.place(to.page).chunk];
    const within = source === target;
    this.device.run(within ? moveWithinProgram : moveAcrossProgram, {
      result: target,
      inputs: { source: within ? null : source },
      uniforms: {
        heads: this.heads, headDim: this.#elements,
        fromPage: this.base(from.page), fromToken: from.offset, toPage: this.base(to.page), toToken: to.offset,
      },
      groups: elementwise(this.heads * this.#elements, 2 * tokens),
    });
  }
}

/**
 * `fn slotOf(heads, value, token, column)`: the place in a page of that many heads of a token's key (0) or value (1) at a column of
 * [heads, headDim]; `slotAt` with the heads of the uniforms.
 */
const slotCode = `
  fn slotAt(value : i32, token : i32, column : i32) -> i32 { return slotOf(uniforms.heads, value, token, column); }

  fn slotOf(heads : i32, value : i32, token : i32, column : i32) -> i32 {
    if (value == 0) { return column * ${TOKENS_PER_PAGE} + token; }
    let head = column / uniforms.headDim;
    return ${TOKENS_PER_PAGE} * heads * uniforms.headDim
      + (head * ${TOKENS_PER_PAGE} + token) * uniforms.headDim + column % uniforms.headDim;
  }`;

// One thread for each column of a token's keys, then of its values: [k or v, token] in y.

const shape = { heads: 'i32', headDim: 'i32' } as const;

const unpackProgram: Program<'chunk', 'heads' | 'headDim' | 'page'> = {
  key: 'page to tokens',
  inputs: ['chunk'],
  uniforms: { ...shape, page: 'i32' },
  threads: 64,
  code: `
    ${slotCode}
    fn main() {
      let column = i32(globalId.x);
      let row = i32(workgroupId.y);
      let width = uniforms.heads * uniforms.headDim;
      if (column >= width) { return; }
      let at = slotAt(row / ${TOKENS_PER_PAGE}, row % ${TOKENS_PER_PAGE}, column);
      result[row * width + column] = chunk[uniforms.page + at];
    }`,
};

type Move = Program<'source', 'heads' | 'headDim' | 'fromPage' | 'fromToken' | 'toPage' | 'toToken'>;

const moveProgram = (source: 'source' | 'result'): Move => ({
  key: `move tokens from ${source}`,
  inputs: source === 'source' ? ['source'] : [],
  uniforms: { ...shape, fromPage: 'i32', fromToken: 'i32', toPage: 'i32', toToken: 'i32' },
  threads: 64,
  code: `
    ${slotCode}
    fn main() {
      let column = i32(globalId.x);
      let value = i32(workgroupId.y) % 2;
      let token = i32(workgroupId.y) / 2;
      if (column >= uniforms.heads * uniforms.headDim) { return; }
      let at = uniforms.fromPage + slotAt(value, uniforms.fromToken + token, column);
      result[uniforms.toPage + slotAt(value, uniforms.toToken + token, column)] = ${source}[at];
    }`,
});

const moveWithinProgram = moveProgram('result');
const moveAcrossProgram = moveProgram('source');

/**
 * Rows of grouped keys and values to slots of a chunk: `numbers` has for each its row, the first element of its page and its
 * token there; rows of values begin at element `v0` of `v`. One workgroup in y for each [row, k or v].
 */
const storeRowsProgram: Program<'k' | 'v' | 'numbers', 'heads' | 'headDim' | 'groupSize' | 'entries' | 'v0'> = {
  key: 'rows to pages',
  inputs: ['k', 'v', 'numbers'],
  uniforms: { ...shape, groupSize: 'i32', entries: 'i32', v0: 'i32' },
  threads: 64,
  code: `
    ${slotCode}
    fn main() {
      let column = i32(globalId.x);
      let value = i32(workgroupId.y) % 2;
      let entry = uniforms.entries + 3 * (i32(workgroupId.y) / 2);
      let width = uniforms.heads * uniforms.headDim;
      if (column >= width) { return; }
      // The first head of each group stands for all of it.
      let head = (column / uniforms.headDim) * uniforms.groupSize;
      let source = numbers[entry] * width * uniforms.groupSize + head * uniforms.headDim + column % uniforms.headDim;
      let to = numbers[entry + 1] + slotAt(value, numbers[entry + 2], column);
      if (value == 0) { result[to] = k[source]; } else { result[to] = v[uniforms.v0 + source]; }
    }`,
};

/**
 * Tokens of a chunk to slots of one of fewer heads: `numbers` has for each the first element of its page and its token there, then
 * those of where it goes. One workgroup in y for each [token, k or v].
 */
const coarsenProgram: Program<'source' | 'numbers', 'heads' | 'headDim' | 'groupSize' | 'factor' | 'entries'> = {
  key: 'coarsen tokens',
  inputs: ['source', 'numbers'],
  uniforms: { ...shape, groupSize: 'i32', factor: 'f32', entries: 'i32' },
  threads: 64,
  code: `
    ${slotCode}
    fn main() {
      let column = i32(globalId.x);
      let value = i32(workgroupId.y) % 2;
      let entry = uniforms.entries + 4 * (i32(workgroupId.y) / 2);
      if (column >= uniforms.heads * uniforms.headDim) { return; }
      let first = (column / uniforms.headDim) * uniforms.groupSize * uniforms.headDim + column % uniforms.headDim;
      var sum = 0.0;
      for (var head = 0; head < uniforms.groupSize; head++) {
        let at = slotOf(uniforms.heads * uniforms.groupSize, value, numbers[entry + 1], first + head * uniforms.headDim);
        sum += source[numbers[entry] + at];
      }
      result[numbers[entry + 2] + slotAt(value, numbers[entry + 3], column)] = sum * uniforms.factor;
    }`,
};
