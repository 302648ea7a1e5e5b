import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { startBackend } from '../../platform/index';
import { trackTensors } from '../../platform/tensors';
import { SeededRandom } from '../../random';
import { storedGroups } from '../grouped/stored';
import { storedLatent } from './stored';
import { HostPages } from '../../inference/host-pages';
import { createRuntime, TOKENS_PER_PAGE, type KvType, type LatentKernels, type PageStore, type Segment, type Slot } from '../../inference/index';
import { attendReference } from '../../inference/reference/attention';

beforeAll(async () => void (await startBackend('wasm')));

const types = fc.constantFrom<KvType>('f32', 'int8');
const ranks = fc.constantFrom(1, 3, 16, 20, 33);

function draw(random: SeededRandom, length: number): Float32Array {
  return Float32Array.from({ length }, () => random.normal());
}

function latentPages(rank: number, type: KvType): PageStore {
  return createRuntime().pages({ heads: 1, joint: true, headDim: rank, type });
}

describe('pages of latents', () => {
  it('hold, move, copy and shorten latents as pages of the host do, to the bit', async () => {
    await fc.assert(
      fc.asyncProperty(ranks, ranks, types, fc.nat(), async (a, b, type, seed) => {
        const [rank, shorter] = [Math.max(a, b), Math.min(a, b)];
        const shortening = storedLatent({ kvHeads: 1, headDim: 1, rank: 2 }).coarser!.to(storedLatent({ kvHeads: 1, headDim: 1, rank: 1 }))!;
        const stores = [latentPages(rank, type), new HostPages({ heads: 1, joint: true, headDim: rank, type })];
        const targets = [latentPages(shorter, type), new HostPages({ heads: 1, joint: true, headDim: shorter, type })];
        const latents = draw(new SeededRandom(seed), TOKENS_PER_PAGE * rank);
        const ends: Float32Array[][] = [];
        for (const [i, store] of stores.entries()) {
          const [page, other, coarse] = [store.allocate(), store.allocate(), targets[i]!.allocate()];
          store.write(page, 0, latents.subarray(0, 5 * rank), new Float32Array(0));
          store.write(page, 5, latents.subarray(5 * rank), new Float32Array(0));
          store.copy(page, other, TOKENS_PER_PAGE);
          store.move({ page, offset: 3 }, { page: other, offset: 7 });
          store.coarsen([{ from: { page: other, offset: 7 }, to: { page: coarse, offset: 2 } }], targets[i]!, shortening);
          const read = [await store.read(page, TOKENS_PER_PAGE), await store.read(other, 9), await targets[i]!.read(coarse, 3)];
          expect(read.every(({ v }) => v.length === 0)).toBe(true);
          ends.push([read[0]!.k, read[1]!.k, read[2]!.k.subarray(2 * shorter)]);
        }
        expect(ends[0]).toEqual(ends[1]);
        expect(stores[0]!.bytesPerToken).toBe(stores[1]!.bytesPerToken);
        expect(stores[0]!.bytesPerPage).toBeGreaterThanOrEqual(TOKENS_PER_PAGE * stores[0]!.bytesPerToken);
        for (const store of [...stores, ...targets]) store.dispose();
      }),
      { numRuns: 40 },
    );
  });

  it('are the only joint pages, and take the coarsening of latents alone', () => {
    expect(() => createRuntime().pages({ heads: 2, joint: true, headDim: 4 })).toThrow('pages: expected keys and values apart, or in one vector, got 2 for both; use HostPages');
    const { coarser } = storedGroups({ kvHeads: 2, headDim: 1, groupSize: 1 });
    expect(() => latentPages(4, 'f32').coarsen([], latentPages(2, 'f32'), coarser!.to(coarser!.ladder[0]!)!)).toThrow('WasmLatents.coarsen: expected a coarsening of latent formats, got grouped; use HostPages');
    const grouped = () => createRuntime().pages({ heads: 2, headDim: 4 });
    expect(() => grouped().coarsen([], grouped(), { isNested: false, apply: () => undefined })).toThrow('WasmPages.coarsen: expected a coarsening of grouped formats, got one without a kernel; use HostPages');
  });
});

describe('attention over latents', () => {
  const cases = fc.record({
    kvHeads: fc.constantFrom(1, 2, 3, 4),
    shared: fc.constantFrom(1, 2, 3),
    headDim: fc.constantFrom(3, 16),
    inputs: fc.constantFrom(5, 24),
    ranks: fc.tuple(ranks, ranks).map((both) => both.sort((a, b) => b - a)),
    tokens: fc.tuple(fc.nat({ max: 70 }), fc.nat({ max: 40 })),
    from: fc.tuple(fc.nat({ max: 70 }), fc.nat({ max: 40 })),
    expert: fc.constantFrom(0, 1),
    type: types,
    observed: fc.boolean(),
    seed: fc.nat(),
  });

  it('is attention over the keys and values that they are read back as, from segments of several ranks, with its probabilities', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ kvHeads, shared, headDim, inputs, ranks, tokens, from, expert, type, observed, seed }) => {
        const random = new SeededRandom(seed);
        const runtime = createRuntime();
        const heads = kvHeads * shared;
        const [rank, width] = [ranks[0]!, kvHeads * headDim];
        const layer = {
          latent: { weight: draw(random, rank * inputs), bias: draw(random, rank), outputs: rank, inputs },
          k: draw(random, width * rank), v: draw(random, width * rank), offset: draw(random, width), kvHeads,
        };
        const kernels: LatentKernels = runtime.latents!;
        const weights = kernels.pack(layer, 'f32');
        // Some are hidden, but not the token that is computed.
        const segments = ranks.map((own, i) => filledSegment(random, latentPages(own, type), tokens[i]!, Math.min(from[i]!, tokens[i]!)));
        const slots = segments.map(({ store, pages, tokens }): Slot => ({ page: pages[Math.floor(tokens / TOKENS_PER_PAGE)] ?? store.allocate(), offset: tokens % TOKENS_PER_PAGE }));
        const view = { segments, slots };
        const [x, q, out] = [runtime.rows(2, inputs), runtime.rows(2, heads * headDim), runtime.rows(2, heads * headDim)];
        const [input, queries] = [draw(random, 2 * inputs), draw(random, 2 * heads * headDim)];
        runtime.write(input, x);
        runtime.write(queries, q);
        const probabilities: Float32Array[] = [];
        const scale = headDim ** -0.5 * 0.1;
        kernels.store(weights, x, 1, { expert }, view);
        kernels.attend(weights, q, 1, view, { expert }, out, { heads, scale, ...(observed && { onProbabilities: (i: number, own: Float32Array) => (probabilities[i] = own.slice()) }) });

        // The token's latent is the product that it should be.
        const stored = (await segments[expert]!.store.read(slots[expert]!.page, slots[expert]!.offset + 1)).k.subarray(slots[expert]!.offset * ranks[expert]!);
        const { latent } = layer;
        const product = Array.from({ length: ranks[expert]! }, (_, r) => input.subarray(inputs).reduce((sum, value, i) => sum + value * latent.weight[r * inputs + i]!, latent.bias[r]!));
        const coarse = type === 'int8' ? Math.max(...product.map(Math.abs)) / 254 + 1e-4 : 1e-4;
        product.forEach((value, r) => expect(Math.abs(value - stored[r]!)).toBeLessThan(coarse));

        const host = { segments: await Promise.all(segments.map((segment, i) => readBack(segment, slots[i]!, layer, ranks[i]!))), slots };
        const expected = attendReference(queries.subarray(heads * headDim), host, expert, { heads, scale });
        const got = (await runtime.read(out, 2, 'values')).values!.subarray(heads * headDim);
        expected.out.forEach((value, i) => expect(Math.abs(value - got[i]!)).toBeLessThan(2e-4 * (1 + Math.abs(value))));
        if (observed) {
          expect(probabilities.map((own) => own.length)).toEqual(expected.probabilities.map((own) => own.length));
          expected.probabilities.forEach((own, i) => own.forEach((value, t) => expect(Math.abs(value - probabilities[i]![t]!)).toBeLessThan(1e-3)));
        }
        for (const resident of [weights, x, q, out]) resident.dispose();
        for (const { store } of segments) store.dispose();
      }),
      { numRuns: 150 },
    );
  });

  it('frees what it packed', async () => {
    const layer = { latent: { weight: new Float32Array(12), bias: null, outputs: 4, inputs: 3 }, k: new Float32Array(24), v: new Float32Array(24), offset: new Float32Array(6), kvHeads: 2 };
    const { tensors } = await trackTensors(async () => createRuntime().latents!.pack(layer, 'int8').dispose());
    expect(tensors).toBe(0);
  });
});

function filledSegment(random: SeededRandom, store: PageStore, tokens: number, from: number): Segment {
  const pages = Array.from({ length: Math.ceil(tokens / TOKENS_PER_PAGE) }, () => store.allocate());
  for (const [i, page] of pages.entries()) {
    store.write(page, 0, draw(random, Math.min(TOKENS_PER_PAGE, tokens - i * TOKENS_PER_PAGE) * store.headDim), new Float32Array(0));
  }
  return { store, pages, tokens, from };
}

/** A segment of keys and values on the host, with the token in `slot` beside those that are cached. */
async function readBack(
  { store, pages, tokens, from }: Segment, slot: Slot, { k, v, offset, kvHeads }: { k: Float32Array; v: Float32Array; offset: Float32Array; kvHeads: number }, rank: number,
): Promise<Segment> {
  const width = offset.length;
  const host = new HostPages({ heads: kvHeads, headDim: width / kvHeads });
  const longest = k.length / width;
  for (const page of pages.includes(slot.page) ? pages : [...pages, slot.page]) {
    while (host.allocate() < page);
    const latents = (await store.read(page, TOKENS_PER_PAGE)).k;
    const read = (basis: Float32Array, add: Float32Array | null) => Float32Array.from({ length: TOKENS_PER_PAGE * width }, (_, i) => {
      const [token, row] = [Math.floor(i / width), i % width];
      let sum = add ? add[row]! : 0;
      for (let r = 0; r < rank; r++) sum += basis[row * longest + r]! * latents[token * rank + r]!;
      return sum;
    });
    host.write(page, 0, read(k, null), read(v, offset));
  }
  return { store: host, pages, tokens, ...(from !== undefined && { from }) };
}
