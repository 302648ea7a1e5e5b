import { MixsgaError } from '../../errors';
import { dequantiseHeads, quantiseHeads, type KvType } from '../../inference/kv-type';
import type { PageStore, Segment } from '../../inference/pages';
import { TOKENS_PER_PAGE } from '../../inference/pages';
import type { DenseLayer, InferenceRuntime, KvLayer, Resident, RouterWeights, Rows } from '../../inference/runtime';
import { SeededRandom } from '../../random';
import type { Heads, Numbers, StoredToken } from './plain';

/** What a check works with: a runtime, draws that are the same on all of them, and the disposal of what was made. */
export class Setting {
  readonly random = new SeededRandom(20260401);
  readonly #made: { dispose(): void }[] = [];

  constructor(
    readonly runtime: InferenceRuntime,
    /** For slow devices: a few cases of each kind. */
    readonly quick: boolean,
    /** Of {@link stores}. */
    readonly type: KvType = 'f32',
  ) {}

  /** All cases, or with `quick` the first of them. */
  some<Case>(cases: readonly Case[], quick = 2): readonly Case[] {
    return this.quick ? cases.slice(0, quick) : cases;
  }

  normals(count: number, deviation = 1): Float32Array {
    return Float32Array.from({ length: count }, () => this.random.normal() * deviation);
  }

  /** A matrix that keeps the size of what it multiplies. */
  layer(outputs: number, inputs: number, bias = true): DenseLayer {
    return { weight: this.normals(outputs * inputs, inputs ** -0.5), bias: bias ? this.normals(outputs, 0.5) : null, outputs, inputs };
  }

  kvLayer(heads: Heads, inputs: number): KvLayer {
    const width = heads.kvHeads * heads.headDim;
    return { ...heads, k: this.layer(width, inputs), v: this.layer(width, inputs) };
  }

  /** Disposes a resident with everything else at the end. */
  own<R extends { dispose(): void }>(made: R): R {
    this.#made.push(made);
    return made;
  }

  router(layer: DenseLayer): RouterWeights | null {
    const packed = this.runtime.packRouter(layer);
    return packed && this.own(packed);
  }

  rows(capacity: number, width: number): Rows {
    return this.own(this.runtime.rows(capacity, width));
  }

  /** Rows with the given values, [rows, width]. */
  filled(values: Float32Array, width: number, capacity = values.length / width): Rows {
    const rows = this.rows(capacity, width);
    const count = values.length / width;
    const table: Resident = this.runtime.packLinear({ weight: values, bias: null, outputs: count, inputs: width }, 'f32');
    this.runtime.embed(table as ReturnType<InferenceRuntime['packLinear']>, Int32Array.from({ length: count }, (_, i) => i), rows);
    table.dispose();
    return rows;
  }

  async values(x: Rows, rows = x.capacity): Promise<Float32Array> {
    return (await this.runtime.read(x, rows, 'values')).values!.slice();
  }

  /** A store for each expert. */
  stores({ heads, kvHeads, headDim, groupSizes }: Heads & { heads: number }): PageStore[] {
    return groupSizes.map((size) => this.own(this.runtime.pages({ heads: kvHeads / size, headDim, queryHeads: heads, type: this.type })));
  }

  dispose(): void {
    for (const made of this.#made) made.dispose();
  }
}

/** A segment that a check fills: pages in no order, room for more tokens than it has, and what is in it. */
export class FilledSegment implements Segment {
  readonly pages: number[] = [];
  readonly contents: StoredToken[] = [];

  constructor(
    readonly store: PageStore,
    random: SeededRandom,
    room: number,
  ) {
    // Between its pages lie those of nobody.
    const pages = Array.from({ length: 2 * Math.ceil(room / TOKENS_PER_PAGE) + 1 }, () => store.allocate());
    while (this.pages.length * TOKENS_PER_PAGE < room) this.pages.push(...pages.splice(random.nextInt(pages.length), 1));
  }

  get tokens(): number {
    return this.contents.length;
  }

  get nextSlot() {
    return { page: this.pages[Math.floor(this.tokens / TOKENS_PER_PAGE)]!, offset: this.tokens % TOKENS_PER_PAGE };
  }

  /** A token that an operation stored. */
  note(token: StoredToken): void {
    this.contents.push(kept(this.store, token));
  }

  /** Writes a token as what an operation stored earlier. */
  append(k: Float32Array, v: Float32Array): void {
    const { page, offset } = this.nextSlot;
    this.store.write(page, offset, k, v);
    this.note({ k, v });
  }
}

/** What a store gives back of a token. */
export function kept({ type, headDim }: PageStore, { k, v }: StoredToken): StoredToken {
  if (type === 'f32') return { k, v };
  const [keys, values] = [k, v].map((x) => dequantiseHeads(quantiseHeads(Float32Array.from(x), headDim)));
  return { k: keys!, v: values! };
}

/** {@link close} to what was stored, with int8 each number within half a step. */
export function closeToStored(what: string, actual: Numbers, expected: Numbers, { type, headDim }: PageStore): void {
  if (type === 'f32') return close(what, actual, expected);
  equal(`length of ${what}`, actual.length, expected.length);
  const { scales } = quantiseHeads(Float32Array.from(expected), headDim);
  for (let i = 0; i < expected.length; i++) {
    const steps = Math.abs(actual[i]! - expected[i]!) / scales[Math.floor(i / headDim)]!;
    if (!(steps <= 0.51)) throw new MixsgaError(`expected ${what} within half a step, got ${actual[i]} for ${expected[i]} at element ${i}`);
  }
}

/** Fails unless Σ(actual − expected)² is at most `tolerance` of Σ expected², and every number is finite. */
export function close(what: string, actual: Numbers, expected: Numbers, tolerance = 1e-7): void {
  equal(`length of ${what}`, actual.length, expected.length);
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) throw new MixsgaError(`expected ${what} to be finite, got ${actual[i]} at element ${i}`);
    error += (actual[i]! - expected[i]!) ** 2;
    power += expected[i]! ** 2;
  }
  const nmse = error === 0 ? 0 : error / power;
  if (!(nmse <= tolerance)) throw new MixsgaError(`expected ${what} with an NMSE of at most ${tolerance}, got ${nmse.toExponential(1)}`);
}

export function equal(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new MixsgaError(`expected ${what} to be ${String(expected)}, got ${String(actual)}`);
}

/** Fails unless all elements are the same. */
export function same(what: string, actual: Numbers, expected: Numbers): void {
  equal(what, Array.from(actual).join(), Array.from(expected).join());
}
