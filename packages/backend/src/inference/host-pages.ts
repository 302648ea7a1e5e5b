import { expectOptions } from '../options';
import { dequantiseHeads, headBytes, quantiseHeads, type KvType, type Packing } from './kv-type';
import type { PageStore, Segment, Slot, TokenMove } from './pages';
import { PageNumbers, poolingFactor, TOKENS_PER_PAGE } from './pages';
import type { Pooling } from './pages';
import { PAGE_FORMAT, type PageFormat } from './runtime';

/** Pages in plain arrays of the host: [token, heads·headDim] for K and for V. The reference of the others. */
export class HostPages implements PageStore {
  readonly heads: number;
  readonly valueHeads: number;
  readonly headDim: number;
  readonly type: KvType;
  readonly packing?: Packing;
  readonly bytesPerToken: number;
  readonly bytesPerPage: number;
  readonly #numbers = new PageNumbers();
  readonly #pages: Readonly<Record<'k' | 'v', Tokens>>[] = [];

  constructor(format: PageFormat) {
    expectOptions('HostPages', format, PAGE_FORMAT);
    const { heads, valueHeads = heads, headDim, type = 'f32', packing } = format;
    this.heads = heads;
    this.valueHeads = valueHeads;
    this.headDim = headDim;
    this.type = type;
    if (packing) this.packing = packing;
    this.bytesPerToken = packing?.bytes ?? (heads + valueHeads) * headBytes(type, headDim);
    this.bytesPerPage = TOKENS_PER_PAGE * this.bytesPerToken;
  }

  get allocatedBytes(): number {
    return this.#pages.reduce((sum, { k, v }) => sum + k.bytes + v.bytes, 0);
  }

  allocate(): number {
    const tokens = (heads: number) => {
      if (heads > 0 && this.packing) return new PackedTokens(this.packing, heads * this.headDim);
      return this.type === 'f32' ? new Float32Tokens(heads * this.headDim) : new Int8Tokens(heads, this.headDim);
    };
    return this.#numbers.take(() => void this.#pages.push({ k: tokens(this.heads), v: tokens(this.valueHeads) }));
  }

  release(page: number): void {
    this.#numbers.release(page);
  }

  copy(from: number, to: number, tokens: number): void {
    for (const kind of ['k', 'v'] as const) this.#pages[to]![kind].set(0, this.#pages[from]![kind].get(0, tokens));
  }

  move(from: Slot, to: Slot): void {
    for (const kind of ['k', 'v'] as const) this.#pages[to.page]![kind].set(to.offset, this.token(kind, from));
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, pooling: Pooling): void {
    if (target.headDim < this.headDim) return this.#shorten(tokens, target as HostPages);
    const { headDim } = this;
    const groupSize = this.heads / target.heads;
    const factor = poolingFactor(pooling, groupSize);
    for (const { from, to } of tokens) {
      for (const kind of ['k', 'v'] as const) {
        const fine = this.token(kind, from);
        const coarse = new Float32Array(fine.length / groupSize).map((_, i) => {
          const first = Math.floor(i / headDim) * groupSize * headDim + (i % headDim);
          let sum = 0;
          for (let head = 0; head < groupSize; head++) sum += fine[first + head * headDim]!;
          return sum * factor;
        });
        (target as HostPages).#pages[to.page]![kind].set(to.offset, coarse);
      }
    }
  }

  /** The first numbers of each vector. */
  #shorten(tokens: readonly TokenMove[], target: HostPages): void {
    for (const { from, to } of tokens) {
      for (const kind of ['k', 'v'] as const) {
        target.#pages[to.page]![kind].set(to.offset, this.token(kind, from).filter((_, i) => i % this.headDim < target.headDim));
      }
    }
  }

  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const { k, v } = this.#pages[page]!;
    return Promise.resolve({ k: k.get(0, tokens).slice(), v: v.get(0, tokens).slice() });
  }

  write(page: number, first: number, k: Float32Array, v: Float32Array): void {
    this.#pages[page]!.k.set(first, k);
    this.#pages[page]!.v.set(first, v);
  }

  dispose(): void {
    this.#pages.length = 0;
  }

  /** The keys or values of one token: float32 [heads·headDim], with f32 as a view. */
  token(kind: 'k' | 'v', { page, offset }: Slot): Float32Array {
    return this.#pages[page]![kind].get(offset, 1);
  }
}

/** The keys or the values of a page. */
interface Tokens {
  readonly bytes: number;
  /** float32 [count, heads, headDim] */
  get(first: number, count: number): Float32Array;
  set(first: number, x: Float32Array): void;
}

class Float32Tokens implements Tokens {
  readonly #values: Float32Array;

  constructor(readonly width: number) {
    this.#values = new Float32Array(TOKENS_PER_PAGE * width);
  }

  get bytes(): number {
    return this.#values.byteLength;
  }

  get(first: number, count: number): Float32Array {
    return this.#values.subarray(first * this.width, (first + count) * this.width);
  }

  set(first: number, x: Float32Array): void {
    this.#values.set(x, first * this.width);
  }
}

class Int8Tokens implements Tokens {
  readonly #values: Int8Array;
  readonly #scales: Float32Array;

  constructor(
    readonly heads: number,
    readonly headDim: number,
  ) {
    this.#values = new Int8Array(TOKENS_PER_PAGE * heads * headDim);
    this.#scales = new Float32Array(TOKENS_PER_PAGE * heads);
  }

  get bytes(): number {
    return this.#values.byteLength + this.#scales.byteLength;
  }

  get(first: number, count: number): Float32Array {
    const scales = this.#scales.subarray(first * this.heads, (first + count) * this.heads);
    const width = this.heads * this.headDim;
    return dequantiseHeads({ values: this.#values.subarray(first * width, (first + count) * width), scales });
  }

  set(first: number, x: Float32Array): void {
    const { values, scales } = quantiseHeads(x, this.headDim);
    this.#values.set(values, first * this.heads * this.headDim);
    this.#scales.set(scales, first * this.heads);
  }
}

class PackedTokens implements Tokens {
  readonly #bytes: Uint8Array;

  constructor(
    readonly packing: Packing,
    readonly width: number,
  ) {
    this.#bytes = new Uint8Array(TOKENS_PER_PAGE * packing.bytes);
  }

  get bytes(): number {
    return this.#bytes.byteLength;
  }

  get(first: number, count: number): Float32Array {
    const numbers = new Float32Array(count * this.width);
    for (let i = 0; i < count; i++) this.packing.unpack(this.#own(first + i), numbers.subarray(i * this.width, (i + 1) * this.width));
    return numbers;
  }

  set(first: number, x: Float32Array): void {
    for (let i = 0; i < x.length / this.width; i++) this.packing.pack(x.subarray(i * this.width, (i + 1) * this.width), this.#own(first + i));
  }

  #own(token: number): Uint8Array {
    const { bytes } = this.packing;
    return this.#bytes.subarray(token * bytes, (token + 1) * bytes);
  }
}

/** Slot `index` of a segment. */
export function slotOf(segment: Pick<Segment, 'pages'>, index: number): Slot {
  return { page: segment.pages[Math.floor(index / TOKENS_PER_PAGE)]!, offset: index % TOKENS_PER_PAGE };
}
