import { ArgumentError, HostPages, slotOf, storedGroups, type PageFormat, type StoredFormat } from '@mixsga/backend';
import { CachePool, type CreateOptions } from '../pool';
import type { KvCache } from '../cache';
import type { CacheLayout } from '../layout';

/** A format for each group size. */
export function groups(kvHeads: number, headDim: number, groupSizes: readonly number[]): StoredFormat[] {
  return groupSizes.map((groupSize) => storedGroups({ kvHeads, headDim, groupSize }));
}

/** Two layers, two experts, on plain arrays: a token takes 40 or 24 bytes a layer, with its entry of 8. */
export const layout: CacheLayout = { layers: 2, formats: groups(4, 1, [1, 2]), fingerprint: 'conformance' };

export function newPool(of: CacheLayout = layout): CachePool {
  return new CachePool({ pages: (format: PageFormat) => new HostPages(format) }, of);
}

/** What a query gives a token, from 0 to below 1; much the same numbers for every pair. */
export function attentionTo(token: number, query: number): number {
  return Math.fround((Math.imul(token * 7919 + query * 104_729 + 1, 2_654_435_761) >>> 8) / 2 ** 24);
}

/** Appends a token by a step. Its keys say its position, by which attention is found again. */
export function step(cache: KvCache, of: CacheLayout = layout): void {
  const position = cache.tokensSeen;
  const experts = Array.from({ length: of.layers }, (_, layer) => (position + layer) % of.formats.length);
  experts.forEach((expert, layer) => {
    const { segments, slots } = cache.view(layer);
    const { store } = segments[expert]!;
    const row = new Float32Array(store.heads * store.headDim).fill(position);
    store.write(slots[expert]!.page, slots[expert]!.offset, row, row);
    if (!cache.observes) return;
    segments.forEach((segment, s) => {
      const tokens = segment.tokens + (s === expert ? 1 : 0);
      const positions = Array.from({ length: tokens }, (_, slot) => (segment.store as HostPages).token('k', slotOf(segment, slot))[0]!);
      cache.observe(layer, s, Float32Array.from(positions, (token) => attentionTo(token, position)));
    });
  });
  cache.commit(experts);
}

export function steps(cache: KvCache, count: number, of: CacheLayout = layout): void {
  for (let i = 0; i < count; i++) step(cache, of);
}

/** Appends the rows of a prompt. */
export function rows(cache: KvCache, count: number): void {
  const first = cache.tokensSeen;
  for (let layer = 0; layer < layout.layers; layer++) {
    const experts = Int32Array.from({ length: count }, (_, row) => (first + row + layer) % layout.formats.length);
    for (const { segment, firstSlot, rows: numbers } of cache.planRows(layer, experts)) {
      numbers.forEach((row, i) => {
        const { page, offset } = slotOf(segment, firstSlot + i);
        const values = new Float32Array(segment.store.heads * segment.store.headDim).fill(first + row);
        segment.store.write(page, offset, values, values);
      });
    }
    if (cache.observes) cache.observeRows(layer, Float32Array.from({ length: count }, (_, row) => attentionTo(first + row, first + count)));
  }
  cache.commitRows();
}

/** For each layer, the arena of each token; null where it was evicted. */
export function placesOf(cache: KvCache, layers = layout.layers): (number | null)[][] {
  return Array.from({ length: layers }, (_, layer) => Array.from({ length: cache.tokensSeen }, (_, token) => cache.expertOf(layer, token)));
}

/** A fork, a restored copy and the cache itself go on to the same places. */
export async function expectSameAfterwards(pool: CachePool, cache: KvCache, count: number, options?: CreateOptions): Promise<void> {
  const fork = cache.fork();
  const restored = await pool.restore(await cache.serialise(), options);
  for (const each of [cache, fork, restored]) steps(each, count);
  expectEqual('places in a fork', placesOf(fork), placesOf(cache));
  expectEqual('places in a restored cache', placesOf(restored), placesOf(cache));
}

export function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(`expected ${what}`);
}

export function expectEqual(what: string, got: unknown, expected: unknown): void {
  const [a, b] = [got, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

/** The message of the ArgumentError that it throws. */
export function messageOf(what: string, f: () => unknown): string {
  try {
    f();
  } catch (error) {
    if (ArgumentError.isInstance(error)) return error.message;
    throw error;
  }
  throw new Error(`expected ${what} to be refused`);
}
