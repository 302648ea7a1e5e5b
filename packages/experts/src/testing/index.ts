/**
 * The conformance suite of formats: run every check of {@link formatChecks} on each backend that matters, in
 * any test runner. A check rejects with an Error that says what does not hold.
 */
import { type FormatLayout, type KvFormat, kvTypes, type Packing, SeededRandom, storedBits, type StoredFormat, type StoredShape, type StoredToken } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { mixKv } from '../mix';

/** Formats of one layer, of any number; what they need beside the layout is their maker's affair. */
export type FormatsOf = (layout: FormatLayout) => readonly KvFormat[];

export interface FormatCheck {
  readonly name: string;
  /** Runs on the active tfjs backend, for several layouts. KV heads are 8 or 6. */
  run(create: FormatsOf): Promise<void>;
}

const TOKENS = 7;
/** Bytes on either side of a token, of no whole number of floats: tokens lie anywhere in a page. */
const GUARD = 3;
const LAYOUTS: readonly FormatLayout[] = [{ kvHeads: 8, headDim: 5 }, { kvHeads: 6, headDim: 4 }];

export const formatChecks: readonly FormatCheck[] = [
  check('stores and reads back the shapes that it declares, for any leading dimensions', async (format) => {
    for (const leading of [[], [3], [2, 3]]) {
      const stored = format.encode(...pair([...leading, format.kvHeads, format.headDim]));
      expectShape('what is stored', stored, [...leading, format.stored.heads, format.stored.headDim]);
      const read = format.decode(stored);
      expectShape('expanded k', read.k, [...leading, format.kvHeads, format.headDim]);
      expectShape('expanded v', read.v, [...leading, format.kvHeads, format.headDim]);
    }
  }),

  check('treats every token alone', async (format) => {
    const [k, v] = pair([TOKENS, format.kvHeads, format.headDim]);
    const all = format.decode(format.encode(k, v));
    const one = format.decode(format.encode(tf.slice(k, 3, 1), tf.slice(v, 3, 1)));
    await expectClose('k of one token', one.k, tf.slice(all.k, 3, 1));
    await expectClose('v of one token', one.v, tf.slice(all.v, 3, 1));
  }),

  check('changes nothing when a read-back entry is stored again', async (format) => {
    const stored = format.encode(...pair([TOKENS, format.kvHeads, format.headDim]));
    const read = format.decode(stored);
    await expectClose('what is stored', format.encode(read.k, read.v), stored);
  }),

  check('has the gradient that finite differences give', async (format) => {
    const shape = [2, format.kvHeads, format.headDim];
    const [k, v] = pair(shape);
    const [weightK, weightV] = pair(shape, 1);
    const [stepK, stepV] = pair(shape, 2);
    const objective = (k: Tensor, v: Tensor): tf.Scalar => {
      const read = format.decode(format.encode(k, v));
      return tf.add(tf.sum(tf.mul(read.k, weightK)), tf.sum(tf.mul(read.v, weightV)));
    };
    const [gradK, gradV] = tf.grads((k: Tensor, v: Tensor) => objective(k, v))([k, v]);
    const directional = tf.add(tf.sum(tf.mul(gradK!, stepK)), tf.sum(tf.mul(gradV!, stepV)));
    const at = (h: number) => format.decode(format.encode(tf.add(k, tf.mul(stepK, h)), tf.add(v, tf.mul(stepV, h))));
    const [above, below] = [at(0.05), at(-0.05)];
    const change = tf.add(tf.sum(tf.mul(tf.sub(above.k, below.k), weightK)), tf.sum(tf.mul(tf.sub(above.v, below.v), weightV)));
    await expectClose('directional derivative', directional, tf.div(change, 0.1), 1e-3);
  }),

  check('keeps its arguments and leaves nothing behind', async (format) => {
    const [k, v] = pair([TOKENS, format.kvHeads, format.headDim]);
    const before = tf.memory().numTensors;
    const stored = format.encode(k, v);
    const read = format.decode(stored);
    tf.dispose([stored, read.k, read.v]);
    if (tf.memory().numTensors !== before || k.isDisposed || v.isDisposed) {
      throw new Error(`expected ${before} tensors after disposing the results, got ${tf.memory().numTensors}`);
    }
  }),

  check('packs what it stores to the bytes that it declares, and again to the same', async (format) => {
    const { heads, headDim, packing } = format.stored;
    if (!packing) return;
    const stored = await format.encode(...pair([TOKENS, format.kvHeads, format.headDim])).data<'float32'>();
    for (let token = 0; token < TOKENS; token++) {
      const own = stored.slice(token * heads * headDim, (token + 1) * heads * headDim);
      const bytes = packed(packing, own, 0);
      const numbers = unpacked(packing, bytes, own.length);
      for (const [what, other] of [['over other bytes', packed(packing, own, 0xff)], ['again', packed(packing, numbers, 0)]] as const) {
        if (other.join() !== bytes.join()) throw new Error(`expected token ${token} to pack to ${bytes.join()} ${what}, got ${other.join()}`);
      }
    }
  }),

  check('reads back of what it packs more than nothing would tell', async (format) => {
    const { packing } = format.stored;
    if (!packing) return;
    const stored = await format.encode(...pair([1, format.kvHeads, format.headDim])).data<'float32'>();
    // What is read back whatever was stored can't be near a vector and its opposite.
    for (const own of [stored, stored.map((x) => -x)]) {
      const read = unpacked(packing, packed(packing, own, 0), own.length);
      const [lost, all] = [Math.hypot(...own.map((x, i) => x - read[i]!)), Math.hypot(...own)];
      if (!(lost < all)) throw new Error(`expected to lose less than the length ${all} of what is packed, got ${lost}`);
    }
  }),

  check('has coarser forms of fewer and fewer bytes, each with a name of its own and a way to all that follow', async (format) => {
    const forms = chainOf(format);
    const names = new Set(forms.map(({ name }) => name));
    if (names.size < forms.length) throw new Error(`expected names of their own, got ${forms.map(({ name }) => name).join(', ')}`);
    for (const type of kvTypes) {
      const bits = forms.map(({ stored }) => storedBits(stored, type));
      if (bits.some((own, i) => i > 0 && !(own < bits[i - 1]!))) throw new Error(`expected fewer bits with each form, got ${bits.join(', ')} of ${type}`);
    }
    forms.forEach((fine, i) => forms.forEach((coarse, j) => {
      if ((fine.coarser?.to(coarse) ?? null) === null !== j <= i) throw new Error(`expected ${j > i ? 'a' : 'no'} way from ${fine.name} to ${coarse.name}`);
    }));
    for (const form of sizedForms(format)) {
      const isSmaller = storedBits(form.stored, 'f32') < storedBits(format.stored, 'f32');
      if (format.coarser!.to(form) && !isSmaller) throw new Error(`expected a way to fewer bytes, got one to ${form.name}`);
    }
  }),

  check('coarsens what it stores to what the coarser form stores of it', async (format) => {
    const [k, v] = pair([TOKENS, format.kvHeads, format.headDim]);
    const fine = format.encode(k, v);
    for (const form of [...chainOf(format), ...sizedForms(format)]) {
      const way = format.coarser?.to(form);
      if (!way) continue;
      if (!format.meaningOf) throw new Error('expected meaningOf beside coarser, got none');
      const coarse = format.meaningOf(form);
      if (coarse.name !== form.name || storedBits(coarse.stored, 'f32') !== storedBits(form.stored, 'f32')) {
        throw new Error(`expected the meaning of ${form.name}, got ${coarse.name}`);
      }
      const stored = asPagesHave(format, await fine.data<'float32'>());
      const read = format.decode(tf.tensor(stored.read, fine.shape));
      const expected = await (way.isNested ? coarse.encode(k, v) : coarse.encode(read.k, read.v)).data<'float32'>();
      const result = emptyTokens(coarse);
      stored.tokens.forEach((token, i) => way.apply(token, result[i]!));
      const shape = [TOKENS, coarse.stored.heads, coarse.stored.headDim];
      await expectClose(`what ${form.name} stores`, tf.tensor(readTokens(coarse, result), shape), tf.tensor(asPagesHave(coarse, expected).read, shape));
    }
  }),

  checkAll('mixes tokens as each of their experts alone stores and reads them', async (formats) => {
    const { kvHeads, headDim } = formats[0]!;
    const [k, v] = pair([TOKENS, kvHeads, headDim]);
    const rows = (x: Tensor) => tf.reshape(x, [x.shape[0]!, kvHeads * headDim]) as Tensor2D;
    const assignment = Int32Array.from({ length: TOKENS }, (_, token) => (token % (formats.length + 1)) - 1);
    const mixed = mixKv(rows(k), rows(v), tf.tensor1d(assignment, 'int32'), formats);
    for (const [token, expert] of assignment.entries()) {
      const [own, ownV] = [tf.slice(k, token, 1), tf.slice(v, token, 1)];
      const read = expert < 0 ? { k: own, v: ownV } : formats[expert]!.decode(formats[expert]!.encode(own, ownV));
      await expectClose(`k of expert ${expert}`, tf.slice(mixed.k, token, 1), rows(read.k));
      await expectClose(`v of expert ${expert}`, tf.slice(mixed.v, token, 1), rows(read.v));
    }
  }),

  checkAll('has the first dimensions of a finer format where they are nested', async (formats) => {
    const { kvHeads, headDim } = formats[0]!;
    const [k, v] = pair([TOKENS, kvHeads, headDim]);
    for (const fine of formats) {
      for (const coarse of formats) {
        if (!fine.nestedIn || fine.nestedIn !== coarse.nestedIn || fine.stored.headDim < coarse.stored.headDim) continue;
        if (fine.stored.heads !== 1) throw new Error(`expected nested formats to store 1 vector, got ${fine.stored.heads}`);
        const first = tf.slice(fine.encode(k, v), [0, 0, 0], [TOKENS, 1, coarse.stored.headDim]);
        await expectClose('the dimensions of the coarser format', coarse.encode(k, v), first);
        const padded = tf.pad(first, [[0, 0], [0, 0], [0, fine.stored.headDim - coarse.stored.headDim]]);
        await expectClose('k', fine.decode(padded).k, coarse.decode(first).k);
        await expectClose('v', fine.decode(padded).v, coarse.decode(first).v);
      }
    }
  }),
];

/** A check of each format alone. */
/** Bytes of a token, among others as in a page. @param before what the bytes are before */
function packed(packing: Packing, numbers: Float32Array, before: number): Uint8Array {
  const { bytes } = packing;
  const page = new Uint8Array(bytes + 2 * GUARD).fill(before, GUARD, GUARD + bytes);
  page.fill(0xa5, 0, GUARD).fill(0xa5, GUARD + bytes);
  const given = numbers.slice();
  packing.pack(given, page.subarray(GUARD, GUARD + bytes));
  if (page.some((byte, i) => byte !== 0xa5 && (i < GUARD || i >= GUARD + bytes))) throw new Error(`expected pack to write its ${bytes} bytes alone, got bytes of another token`);
  if (given.some((x, i) => x !== numbers[i])) throw new Error('expected pack to leave its numbers as they are');
  return page.slice(GUARD, GUARD + bytes);
}

function unpacked(packing: Packing, bytes: Uint8Array, count: number): Float32Array {
  const page = new Uint8Array(bytes.length + 2 * GUARD);
  page.set(bytes, GUARD);
  const numbers = new Float32Array(count).fill(NaN);
  packing.unpack(page.subarray(GUARD, GUARD + bytes.length), numbers);
  const wrong = numbers.findIndex((x) => !Number.isFinite(x));
  if (wrong >= 0) throw new Error(`expected unpack to give ${count} finite numbers, got ${numbers[wrong]} at ${wrong}`);
  if (page.subarray(GUARD, GUARD + bytes.length).join() !== bytes.join()) throw new Error('expected unpack to leave its bytes as they are');
  return numbers;
}

function check(name: string, verify: (format: KvFormat) => Promise<void>): FormatCheck {
  return checkAll(name, async (formats) => {
    for (const [index, format] of formats.entries()) {
      try {
        await verify(format);
      } catch (error) {
        throw new Error(`format ${index}, ${format.name}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

function checkAll(name: string, verify: (formats: readonly KvFormat[]) => Promise<void>): FormatCheck {
  return {
    name,
    async run(create) {
      for (const layout of LAYOUTS) {
        tf.engine().startScope();
        try {
          const formats = create(layout);
          if (formats.length === 0) throw new Error('expected at least one format, got none');
          await verify(formats);
        } catch (error) {
          const where = `format check '${name}' with ${JSON.stringify(layout)}`;
          throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
        } finally {
          tf.engine().endScope();
        }
      }
    },
  };
}

/** A format and the coarser forms that it is brought to unless sizes are named. */
function chainOf(format: StoredFormat): StoredFormat[] {
  return [format, ...(format.coarser?.ladder ?? [])];
}

/** A form for each size. */
function sizedForms({ coarser }: StoredFormat): StoredFormat[] {
  const { divide = 0, form } = coarser?.sizes ?? {};
  return Array.from({ length: divide }, (_, i) => i + 1).flatMap((size) => (divide % size === 0 ? [form!(size)] : []));
}

/** Stored tokens as pages have them, and what they read back: float32 [tokens, heads, headDim]. */
function asPagesHave(format: { readonly stored: StoredShape }, encoded: Float32Array): { tokens: StoredToken[]; read: Float32Array } {
  const { heads, headDim, packing } = format.stored;
  const tokens = emptyTokens(format);
  tokens.forEach((token, i) => {
    const own = encoded.slice(i * heads * headDim, (i + 1) * heads * headDim);
    if (packing) packing.pack(own, token as Uint8Array);
    else token.set(own);
  });
  return { tokens, read: readTokens(format, tokens) };
}

/** Filled with what no format stores. */
function emptyTokens({ stored: { heads, headDim, packing } }: { readonly stored: StoredShape }): StoredToken[] {
  return Array.from({ length: TOKENS }, () => (packing ? new Uint8Array(packing.bytes).fill(0xa5) : new Float32Array(heads * headDim).fill(NaN)));
}

function readTokens({ stored: { heads, headDim, packing } }: { readonly stored: StoredShape }, tokens: readonly StoredToken[]): Float32Array {
  const read = new Float32Array(tokens.length * heads * headDim);
  tokens.forEach((token, i) => {
    const own = read.subarray(i * heads * headDim, (i + 1) * heads * headDim);
    if (packing) packing.unpack(token as Uint8Array, own);
    else own.set(token);
  });
  return read;
}

function pair(shape: number[], stream = 0): [Tensor, Tensor] {
  const random = new SeededRandom(1, stream);
  const draw = () => tf.tensor(Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()), shape);
  return [draw(), draw()];
}

function expectShape(what: string, tensor: Tensor, shape: number[]): void {
  if (tensor.shape.join() !== shape.join()) {
    throw new Error(`expected ${what} of shape [${shape.join(', ')}], got [${tensor.shape.join(', ')}]`);
  }
}

async function expectClose(what: string, actual: Tensor, expected: Tensor, tolerance = 1e-5): Promise<void> {
  const [a, b] = [await actual.data(), await expected.data()];
  const scale = Math.max(...Array.from(b, Math.abs));
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    // Written so that NaN fails too.
    if (!(Math.abs(a[i]! - b[i]!) <= tolerance * scale)) {
      throw new Error(`expected ${what} to be ${b[i]} at element ${i}, got ${a[i]}`);
    }
  }
}
