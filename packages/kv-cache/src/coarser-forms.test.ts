import { HostPages, TOKENS_PER_PAGE, type Coarsening, type PageFormat, type StoredFormat } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { CachePool, type CacheLayout, type KvCache } from './index';

const VALUES = 8;
const RUNGS = [8, 4, 2] as const;

/**
 * Whole numbers from 0 to 255 in their first bits, packed: a ladder whose coarser bytes are made of the finer ones.
 * @param flip a constant of the layer, of 8 bits: numbers are packed after an exclusive or with it
 */
function bits(rung: number, ladder: readonly number[] = RUNGS.filter((other) => other < rung), flip = 0): StoredFormat {
  const perByte = 8 / rung;
  const code = (bytes: Uint8Array, i: number) => (bytes[Math.floor(i / perByte)]! >> (rung * (i % perByte))) & (2 ** rung - 1);
  const put = (bytes: Uint8Array, i: number, value: number) => (bytes[Math.floor(i / perByte)]! |= value << (rung * (i % perByte)));
  const packing = {
    bytes: VALUES / perByte,
    pack(numbers: Float32Array, to: Uint8Array) {
      to.fill(0);
      numbers.forEach((x, i) => put(to, i, (x ^ flip) >> (8 - rung)));
    },
    unpack: (bytes: Uint8Array, to: Float32Array) => to.forEach((_, i) => (to[i] = (code(bytes, i) << (8 - rung)) ^ (flip & ~(2 ** (8 - rung) - 1)))),
  };
  const forms = ladder.map((other) => bits(other, undefined, flip));
  const way = (form: StoredFormat): Coarsening => ({
    isNested: true,
    apply(from: Uint8Array, to: Uint8Array) {
      const numbers = new Float32Array(VALUES);
      packing.unpack(from, numbers);
      form.stored.packing!.pack(numbers, to);
    },
  });
  return {
    name: `bits:${rung}`, kvHeads: 1, headDim: 4, stored: { heads: 2, headDim: 4, packing },
    ...(forms.length > 0 && { coarser: { ladder: forms, to: (form: StoredFormat) => (forms.some(({ name }) => name === form.name) ? way(form) : null) } }),
  };
}

const layout: CacheLayout = { layers: 1, formats: [bits(8)], fingerprint: 'bits' };
const host = { pages: (format: PageFormat) => new HostPages(format) };
/** What 20 tokens take at 2, 4 and 8 bits are 200, 240 and 320 bytes. */
const options = { cache: 'oldest:240B', maxTokens: 20 };

function filled(pool: CachePool, tokens = 19): KvCache {
  const cache = pool.create(options);
  for (let token = 0; token < tokens; token++) append(cache);
  return cache;
}

function numbersOf(token: number): Float32Array {
  return Float32Array.from({ length: VALUES }, (_, i) => (token * 37 + i * 101) % 256);
}

function append(cache: KvCache): void {
  const { segments, slots } = cache.view(0);
  segments[0]!.store.write(slots[0]!.page, slots[0]!.offset, numbersOf(cache.tokensSeen), new Float32Array(0));
  cache.commit([0]);
}

describe('a ladder of packed forms', () => {
  it('is gone down rung by rung, by what is stored alone', async () => {
    const cache = filled(new CachePool(host, layout));
    expect(cache.formats.map(({ name }) => name)).toEqual(['bits:8', 'bits:4', 'bits:2']);
    expect(cache.stored.map(({ bytes }) => bytes)).toEqual([8, 4, 2]);
    expect(cache.tokensKept(0)).toBe(19);
    const counts = cache.expertCounts();
    expect(counts.every((count) => count > 0), counts.join()).toBe(true);
    for (const [arena, { store, pages, tokens, format }] of cache.view(0).segments.entries()) {
      expect(format!.name).toBe(`bits:${RUNGS[arena]}`);
      const found = new Set<string>();
      for (const [p, page] of pages.entries()) {
        const { k } = await store.read(page, Math.max(0, Math.min(TOKENS_PER_PAGE, tokens - p * TOKENS_PER_PAGE)));
        for (let at = 0; at < k.length; at += VALUES) found.add(k.subarray(at, at + VALUES).join());
      }
      const own = Array.from({ length: 19 }, (_, token) => token).filter((token) => cache.expertOf(0, token) === arena);
      const shift = 8 - RUNGS[arena]!;
      expect(found).toEqual(new Set(own.map((token) => numbersOf(token).map((x) => (x >> shift) << shift).join())));
    }
  });

  it('is gone down by several rungs at once where a prompt is too long for less', () => {
    const cache = new CachePool(host, layout).create({ ...options, cache: 'oldest:210B' });
    for (const { segment, rows } of cache.planRows(0, new Int32Array(19))) {
      rows.forEach((row, i) => segment.store.write(segment.pages[0]!, i, numbersOf(row), new Float32Array(0)));
    }
    cache.commitRows();
    expect(cache.expertCounts()[2]).toBeGreaterThan(15);
    expect(cache.bytes().used).toBeLessThanOrEqual(210 - 16);
  });

  it('shares its pages among the caches of a pool', () => {
    const made: PageFormat[] = [];
    const pool = new CachePool({ pages: (format) => (made.push(format), new HostPages(format)) }, layout);
    for (let i = 0; i < 3; i++) filled(pool).dispose();
    expect(made.map(({ packing }) => packing!.bytes)).toEqual([8, 4, 2]);
    expect(made.every(({ joint }) => joint)).toBe(true);
  });

  it('has its names in files, which are restored where they are the same', async () => {
    const pool = new CachePool(host, layout);
    const cache = filled(pool);
    const bytes = await cache.serialise();
    const text = new TextDecoder().decode(bytes);
    expect(text).toContain('"layout":{"layers":1,"kvHeads":1,"headDim":4,"formats":["bits:8"],"type":"f32","fingerprint":"bits"}');
    expect(text).toContain('"budget":{"policy":"oldest","maxTokens":20,"bytes":240,"formats":["bits:8","bits:4","bits:2"]}');
    const restored = await pool.restore(bytes);
    expect([restored.expertCounts(), await restored.serialise()]).toEqual([cache.expertCounts(), bytes]);
    for (const other of [bits(8, [4]), bits(8, [2])]) {
      await expect(new CachePool(host, { ...layout, formats: [other] }).restore(bytes)).rejects.toThrow('CachePool.restore: expected a budget with bytes, policy, maxTokens and');
    }
    await expect(new CachePool(host, { ...layout, formats: [bits(4)] }).restore(bytes)).rejects.toThrow('expected a cache with formats ["bits:4"], got one with ["bits:8"]');
  });

  it('is packed by constants of each layer, where layers have them', async () => {
    const own = [0b10110011, 0b01010101].map((flip) => bits(8, undefined, flip));
    const layered: CacheLayout = { ...layout, layers: 2, formatsOf: (layer) => [own[layer]!] };
    const pool = new CachePool(host, layered);
    const cache = pool.create({ cache: 'oldest:480B', maxTokens: 20 });
    for (let token = 0; token < 19; token++) {
      for (const layer of [0, 1]) {
        const { segments, slots } = cache.view(layer);
        segments[0]!.store.write(slots[0]!.page, slots[0]!.offset, numbersOf(token), new Float32Array(0));
      }
      cache.commit([0, 0]);
    }
    const restored = await pool.restore(await cache.serialise());
    for (const each of [cache, restored]) {
      for (const layer of [0, 1]) {
        expect(each.view(layer).segments.every(({ store, format }) => store.packing === format!.stored.packing)).toBe(true);
        const { store, pages, tokens } = each.view(layer).segments[1]!;
        const { k } = await store.read(pages[0]!, tokens);
        const found = new Set(Array.from({ length: tokens }, (_, i) => k.subarray(i * VALUES, (i + 1) * VALUES).join()));
        const here = Array.from({ length: 19 }, (_, token) => token).filter((token) => each.expertOf(layer, token) === 1);
        expect(found).toEqual(new Set(here.map((token) => numbersOf(token).map((x) => x & 0xf0).join())));
      }
    }
    const others: CacheLayout = { ...layered, formatsOf: () => [bits(4)] };
    expect(() => new CachePool(host, others)).toThrow('CachePool: expected layer 0 to have format bits:8 of 8 bytes, got bits:4');
  });

  it('may have come to a format since a file was written', async () => {
    const plain = new CachePool(host, { ...layout, formats: [bits(8, [])] });
    const cache = plain.create();
    for (let token = 0; token < 5; token++) append(cache);
    const bytes = await cache.serialise();
    expect(new TextDecoder().decode(bytes)).toContain('"entries":[{"heads":2,"headDim":4,"packing":{"bytes":8}}],"nested":false');
    const restored = await new CachePool(host, layout).restore(bytes);
    expect((await restored.view(0).segments[0]!.store.read(restored.view(0).segments[0]!.pages[0]!, 5)).k.subarray(32)).toEqual(numbersOf(4));
  });

  it('has no sizes, and needs a way to every rung', () => {
    const create = (format: StoredFormat, cache = options.cache) => () => new CachePool(host, { ...layout, formats: [format] }).create({ ...options, cache });
    expect(create(bits(8), 'oldest@2,4:240B')).toThrow('cache: expected no sizes for bits:8, whose coarser forms are bits:4, bits:2, got 2,4');
    const { coarser, ...rest } = bits(8);
    const short = { ...rest, coarser: { ...coarser!, to: (form: StoredFormat) => (form.name === 'bits:4' ? coarser!.to(form) : null) } };
    expect(create(short)).toThrow('cache: expected a way from bits:8 to bits:2, to whose coarser form there is one, got none');
    expect(create(bits(2))).toThrow('cache: expected formats that tokens can be coarsened to, got bits:2; use eviction, such as h2o:0.5');
  });
});
