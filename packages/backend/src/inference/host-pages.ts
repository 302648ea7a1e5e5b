import type { PageStore, Segment, Slot, TokenMove } from './pages';
import { PageNumbers, poolingFactor, TOKENS_PER_PAGE } from './pages';
import type { Pooling } from './runtime';

/** Pages in plain arrays of the host: [token, heads·headDim] for K and for V. The reference of the others. */
export class HostPages implements PageStore {
  readonly bytesPerPage: number;
  readonly #numbers = new PageNumbers();
  readonly #k: Float32Array[] = [];
  readonly #v: Float32Array[] = [];

  constructor(
    readonly heads: number,
    readonly headDim: number,
  ) {
    this.bytesPerPage = 2 * 4 * TOKENS_PER_PAGE * heads * headDim;
  }

  get allocatedBytes(): number {
    return this.#k.length * this.bytesPerPage;
  }

  allocate(): number {
    return this.#numbers.take(() => {
      this.#k.push(new Float32Array(TOKENS_PER_PAGE * this.#width));
      this.#v.push(new Float32Array(TOKENS_PER_PAGE * this.#width));
    });
  }

  release(page: number): void {
    this.#numbers.release(page);
  }

  copy(from: number, to: number, tokens: number): void {
    this.#k[to]!.set(this.#k[from]!.subarray(0, tokens * this.#width));
    this.#v[to]!.set(this.#v[from]!.subarray(0, tokens * this.#width));
  }

  move(from: Slot, to: Slot): void {
    this.token('k', to).set(this.token('k', from));
    this.token('v', to).set(this.token('v', from));
  }

  coarsen(tokens: readonly TokenMove[], target: PageStore, pooling: Pooling): void {
    const { headDim } = this;
    const groupSize = this.heads / target.heads;
    const factor = poolingFactor(pooling, groupSize);
    for (const { from, to } of tokens) {
      for (const kind of ['k', 'v'] as const) {
        const fine = this.token(kind, from);
        const coarse = (target as HostPages).token(kind, to);
        coarse.forEach((_, i) => {
          const first = Math.floor(i / headDim) * groupSize * headDim + (i % headDim);
          let sum = 0;
          for (let head = 0; head < groupSize; head++) sum += fine[first + head * headDim]!;
          coarse[i] = sum * factor;
        });
      }
    }
  }

  read(page: number, tokens: number): Promise<{ k: Float32Array; v: Float32Array }> {
    const end = tokens * this.#width;
    return Promise.resolve({ k: this.#k[page]!.slice(0, end), v: this.#v[page]!.slice(0, end) });
  }

  write(page: number, first: number, k: Float32Array, v: Float32Array): void {
    this.#k[page]!.set(k, first * this.#width);
    this.#v[page]!.set(v, first * this.#width);
  }

  dispose(): void {
    this.#k.length = 0;
    this.#v.length = 0;
  }

  /** The keys or values of one token, as a view: float32 [heads·headDim]. */
  token(kind: 'k' | 'v', { page, offset }: Slot): Float32Array {
    return (kind === 'k' ? this.#k : this.#v)[page]!.subarray(offset * this.#width, (offset + 1) * this.#width);
  }

  get #width(): number {
    return this.heads * this.headDim;
  }
}

/** Slot `index` of a segment. */
export function slotOf(segment: Pick<Segment, 'pages'>, index: number): Slot {
  return { page: segment.pages[Math.floor(index / TOKENS_PER_PAGE)]!, offset: index % TOKENS_PER_PAGE };
}
