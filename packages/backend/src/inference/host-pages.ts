import type { Coarsening, StoredToken } from '../formats/stored-format';
import { expectOptions } from '../options';
import { dequantiseHeads, headBytes, quantiseHeads, type KvType, type Packing } from './kv-type';
import type { PageStore, Segment, Slot, TokenMove } from './pages';
import { PageNumbers, TOKENS_PER_PAGE } from './pages';
import { PAGE_FORMAT, type PageFormat } from './runtime';

/** Pages in plain arrays of the host: [token, heads·headDim] for K and for V. The reference of the others. */
export class HostPages implements PageStore {
  readonly heads: number;
  readonly joint: boolean;
  readonly headDim: number;
  readonly type: KvType;
  readonly packing?: Packing;
  readonly bytesPerToken: number;
  readonly bytesPerPage: number;
  readonly #numbers = new PageNumbers();
  readonly #pages: Readonly<Record<'k' | 'v', Tokens>>[] = [];

  constructor(format: PageFormat) {
    expectOptions('HostPages', format, PAGE_FORMAT);
    const { heads, joint = false, headDim, type = 'f32', packing } = format;
    this.heads = heads;
    this.joint = joint;
    this.headDim = headDim;
    this.type = type;
    if (packing) this.packing = packing;
    this.bytesPerToken = packing?.bytes ?? (joint ? 1 : 2) * heads * headBytes(type, headDim);
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
    return this.#numbers.take(() => void this.#pages.push({ k: tokens(this.heads), v: tokens(this.joint ? 0 : this.heads) }));
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

  coarsen(tokens: readonly TokenMove[], target: PageStore, coarsening: Coarsening): void {
    const coarse = target as HostPages;
    for (const { from, to } of tokens) {
      for (const kind of this.joint ? (['k'] as const) : (['k', 'v'] as const)) {
        const token = this.#pages[from.page]![kind].stored(from.offset);
        coarse.#pages[to.page]![kind].change(to.offset, (result) => coarsening.apply(token, result));
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
  /** A token as formats coarsen it: float32 [heads, headDim], or its bytes where it is packed. Not to be written. */
  stored(token: number): StoredToken;
  /** Replaces a token by what is written to the same of it. */
  change(token: number, write: (to: StoredToken) => void): void;
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

  stored(token: number): StoredToken {
    return this.get(token, 1);
  }

  change(token: number, write: (to: StoredToken) => void): void {
    write(this.get(token, 1));
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

  stored(token: number): StoredToken {
    return this.get(token, 1);
  }

  change(token: number, write: (to: StoredToken) => void): void {
    const numbers = new Float32Array(this.heads * this.headDim);
    write(numbers);
    this.set(token, numbers);
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

  stored(token: number): StoredToken {
    return this.#own(token);
  }

  change(token: number, write: (to: StoredToken) => void): void {
    write(this.#own(token));
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
