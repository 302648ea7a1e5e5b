import { ArgumentError, BackendError, slotOf } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';
import { CachePool, type CacheLayout, type CreateOptions, type KvCache } from './index';
import { groups } from './testing/drive';
import { WatchedRuntime, type WatchedPages } from './testing/watched-pages';

const layout: CacheLayout = { layers: 2, formats: groups(4, 3, [1, 2, 4]), fingerprint: 'model-1' };

/** A cache of `tokens` tokens with rows, experts and attention of no special kind. */
function filled(pool: CachePool, tokens: number, options: CreateOptions = {}): KvCache {
  const cache = pool.create(options);
  for (let token = 0; token < tokens; token++) append(cache);
  return cache;
}

function append(cache: KvCache): void {
  const token = cache.tokensSeen;
  const experts = [(token * 5) % 3, (token >> 2) % 3];
  experts.forEach((expert, layer) => {
    const { segments, slots } = cache.view(layer);
    const { store } = segments[expert]!;
    const row = Float32Array.from({ length: store.heads * store.headDim }, (_, i) => Math.sin(token * 31 + layer * 7 + i));
    store.write(slots[expert]!.page, slots[expert]!.offset, row, row.map((x) => 2 * x));
    if (!cache.observes) return;
    segments.forEach(({ tokens }, segment) => {
      const attention = Array.from({ length: tokens + Number(segment === expert) }, (_, i) => Math.abs(Math.sin(i * i + token)));
      cache.observe(layer, segment, Float32Array.from(attention));
    });
  });
  cache.commit(experts);
}

/** All that can be read of a cache: rows in slot order, and the expert of each token. */
function contents(cache: KvCache) {
  const fork = cache.fork();
  const layers = Array.from({ length: layout.layers }, (_, layer) => ({
    experts: Array.from({ length: cache.tokensSeen }, (_, token) => cache.expertOf(layer, token)),
    rows: fork.view(layer).segments.map((segment) =>
      Array.from({ length: segment.tokens }, (_, slot) =>
        (['k', 'v'] as const).map((kind) => [...(segment.store as WatchedPages).token(kind, slotOf(segment, slot))]),
      ),
    ),
  }));
  fork.dispose();
  return { layers, tokensSeen: cache.tokensSeen, used: cache.bytes().used };
}

/** The cache with another header or body, and a checksum that fits. */
async function forged(bytes: Uint8Array, edit: { header?: (json: string) => string; body?: (body: DataView) => void }) {
  const size = new DataView(bytes.buffer).getUint32(8, true);
  const json = new TextDecoder().decode(bytes.subarray(12, 12 + size));
  const header = new TextEncoder().encode((edit.header ?? String)(json));
  const padded = new Uint8Array(Math.ceil(header.length / 4) * 4).fill(0x20);
  padded.set(header);
  const body = bytes.slice(12 + size, -32);
  edit.body?.(new DataView(body.buffer));
  const whole = new Uint8Array(12 + padded.length + body.length + 32);
  whole.set(bytes.subarray(0, 8));
  new DataView(whole.buffer).setUint32(8, padded.length, true);
  whole.set(padded, 12);
  whole.set(body, 12 + padded.length);
  return sealed(whole);
}

async function sealed(bytes: Uint8Array<ArrayBuffer>) {
  bytes.set(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes.subarray(0, -32))), bytes.length - 32);
  return bytes;
}

describe('a restored cache', () => {
  it.each(['none', 'h2o:0.5', 'nacl:0.5:7', 'window:0.5'])('is as it was, and goes on as it would have: %s', async (text) => {
    const options = { cache: text, maxTokens: 90 };
    const cache = filled(new CachePool(new WatchedRuntime(), layout), 70, options);
    const runtime = new WatchedRuntime();
    const restored = await new CachePool(runtime, layout).restore(await cache.serialise());
    expect(contents(restored)).toEqual(contents(cache));
    for (let token = 0; token < 40; token++) [cache, restored].forEach(append);
    expect(contents(restored)).toEqual(contents(cache));
    expect(restored.tokensKept(0)).toBe(text === 'none' ? 110 : 45);
    restored.dispose();
    expect(runtime.taken).toBe(0);
  });

  it('has the same numbers in int8, in as many bytes as they and their scales take', async () => {
    for (const options of [{}, { cache: 'h2o:0.5', maxTokens: 90 }]) {
      const int8 = { ...layout, type: 'int8' } as const;
      const cache = filled(new CachePool(new WatchedRuntime(), int8), 70, options);
      const bytes = await cache.serialise();
      const header = 12 + new DataView(bytes.buffer).getUint32(8, true);
      const rows = cache.view(0).segments.concat(cache.view(1).segments).reduce((sum, { store, tokens }) => {
        const numbers = tokens * store.heads * 3;
        return sum + 2 * (Math.ceil(numbers / 4) * 4 + 4 * tokens * store.heads);
      }, 0);
      const places = options.cache ? 8 * 2 * cache.tokensKept(0) : 2 * 20; // 70 times 2 bits are 18 bytes
      expect(bytes.length).toBe(header + places + rows + 32);
      const restored = await new CachePool(new WatchedRuntime(), int8).restore(bytes);
      expect(contents(restored)).toEqual(contents(cache));
      for (let token = 0; token < 40; token++) [cache, restored].forEach(append);
      expect(contents(restored)).toEqual(contents(cache));
      expect(await restored.serialise()).toEqual(await cache.serialise());
    }
  });

  it('of float32 may be from before caches had an element type', async () => {
    const pool = new CachePool(new WatchedRuntime(), layout);
    const cache = filled(pool, 20);
    const bytes = await cache.serialise();
    const before = await forged(bytes, { header: (json) => json.replace('"type":"f32",', '') });
    expect(before.length).toBeLessThan(bytes.length);
    expect(contents(await pool.restore(before))).toEqual(contents(cache));
  });

  it('comes from bytes that begin anywhere, such as in a Buffer of Node', async () => {
    const pool = new CachePool(new WatchedRuntime(), layout);
    for (const options of [{}, { cache: 'h2o:0.5', maxTokens: 20 }]) {
      const cache = filled(pool, 12, options);
      const bytes = await cache.serialise();
      const buffer = Buffer.alloc(bytes.length + 3).fill(bytes, 3);
      expect(contents(await pool.restore(buffer.subarray(3)))).toEqual(contents(cache));
    }
    expect(contents(await pool.restore(await pool.create().serialise())).tokensSeen).toBe(0);
  });

  it('takes another maxTokens, and the same policy only', async () => {
    const pool = new CachePool(new WatchedRuntime(), layout);
    const bytes = await filled(pool, 20, { cache: 'h2o:0.5', maxTokens: 40 }).serialise();
    const smaller = await pool.restore(bytes, { cache: 'h2o:0.5', maxTokens: 12 });
    expect(smaller.tokensKept(0)).toBe(20);
    append(smaller);
    expect(smaller.tokensKept(0)).toBe(6);
    const refusal = 'CachePool.restore: expected eviction h2o:0.5, which the cache was made with, got';
    await expect(pool.restore(bytes, { cache: 'h2o:0.6', maxTokens: 40 })).rejects.toThrow(`${refusal} h2o:0.6`);
    await expect(pool.restore(bytes, { cache: 'none' })).rejects.toThrow(`${refusal} none`);
    await expect(pool.restore(await pool.create().serialise(), { cache: 'h2o:1', maxTokens: 4 })).rejects.toThrow(
      'CachePool.restore: expected eviction none, which the cache was made with, got h2o:1',
    );
  });

  it('is serialised as it was at the call, whatever happens meanwhile', async () => {
    const pool = new CachePool(new WatchedRuntime(), layout);
    const cache = filled(pool, 50, { cache: 'h2o:0.5', maxTokens: 80 });
    const before = contents(cache);
    const pending = cache.serialise();
    cache.truncate(40);
    for (let token = 0; token < 20; token++) append(cache);
    expect(contents(await pool.restore(await pending))).toEqual(before);
  });

  it('does not disturb a step that is under way', async () => {
    const pool = new CachePool(new WatchedRuntime(), layout);
    const cache = filled(pool, 10);
    const { segments, slots } = cache.view(0);
    cache.view(1);
    const bytes = await cache.serialise();
    const row = new Float32Array(12).fill(5);
    segments[0]!.store.write(slots[0]!.page, slots[0]!.offset, row, row);
    cache.commit([0, 0]);
    expect(contents(cache).layers[0]!.rows[0]!.at(-1)).toEqual([[...row], [...row]]);
    expect((await pool.restore(bytes)).tokensSeen).toBe(10);
  });
});

describe('restore refuses', () => {
  const runtime = new WatchedRuntime();
  const pool = new CachePool(runtime, layout);
  let serialised: Promise<Uint8Array>;
  let evicting: Promise<Uint8Array>;
  beforeAll(() => {
    serialised = filled(pool, 20).serialise();
    evicting = filled(pool, 20, { cache: 'h2o:0.5', maxTokens: 20 }).serialise();
  });

  it('a cache of another element type', async () => {
    const int8 = new CachePool(new WatchedRuntime(), { ...layout, type: 'int8' });
    const refusal = (expected: string, got: string) => `CachePool.restore: expected a cache of ${expected} keys and values, got one of "${got}"; open the model with that type of cache`;
    await expect(int8.restore(await serialised)).rejects.toThrow(refusal('int8', 'f32'));
    await refused(await filled(int8, 20).serialise(), refusal('f32', 'int8'));
  });

  /** Neither takes a page nor gives anything but one line of ArgumentError. */
  async function refused(bytes: Uint8Array, message: string | RegExp): Promise<void> {
    const before = runtime.taken;
    const error: unknown = await pool.restore(bytes).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ArgumentError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('\n');
    expect(runtime.taken).toBe(before);
  }

  it('bytes that are changed in one bit, wherever it is', async () => {
    const bytes = await serialised;
    for (let at = 0; at < bytes.length; at += at < 300 ? 1 : 7) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << at % 8;
      await refused(changed, at < 8 ? /^CachePool.restore: expected a serialised cache, which begins with mixsgakv, got / : /that were damaged or cut short; serialise it again$/);
    }
  });

  it('bytes that are cut short or go on, and others', async () => {
    const bytes = await serialised;
    for (const length of [bytes.length - 1, bytes.length - 4, 100, 44, 43, 12, 8]) {
      await refused(bytes.slice(0, length), `CachePool.restore: expected a whole cache, got ${length} bytes that were damaged or cut short`);
    }
    await refused(new Uint8Array([...bytes, 0]), `got ${bytes.length + 1} bytes that were damaged or cut short`);
    await refused(new Uint8Array(0), 'expected a serialised cache, which begins with mixsgakv, got ""');
    await refused(new TextEncoder().encode('{"model": 1}'), /got "\{\\"model\\""$/);
  });

  it.each<[string, Partial<CacheLayout>, string]>([
    ['fingerprint', { fingerprint: 'model-2' }, 'a cache with fingerprint "model-2", got one with "model-1"'],
    ['groupSizes', { formats: groups(4, 3, [2]) }, 'a cache with groupSizes [2], got one with [1,2,4]'],
    ['headDim', { formats: groups(4, 6, [1, 2, 4]) }, 'a cache with headDim 6, got one with 3'],
    ['kvHeads', { formats: groups(8, 3, [1, 2, 4]) }, 'a cache with kvHeads 8, got one with 4'],
    ['layers', { layers: 3 }, 'a cache with layers 3, got one with 2'],
  ])('a cache of another %s', async (_, change, message) => {
    const other = new WatchedRuntime();
    const error: unknown = await new CachePool(other, { ...layout, ...change }).restore(await serialised).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ArgumentError);
    expect((error as Error).message).toBe(`CachePool.restore: expected ${message}, of another model or attention variant`);
    expect(other.taken).toBe(0);
  });

  it('a header that claims what is not there, before it believes any count', async () => {
    const edits: [(json: string) => string, string | RegExp][] = [
      [(json) => json.replace('cache@1', 'cache@2'), 'expected a cache of mixsga/kv-cache@1, got "mixsga/kv-cache@2"'],
      [() => '[]', 'expected a cache of mixsga/kv-cache@1, got undefined'],
      [() => 'null', 'expected a cache of mixsga/kv-cache@1, got undefined'],
      [() => '{', 'expected a header in JSON, got other text'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":21'), 'expected 21 tokens in each layer by its header, got 20'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":-1'), 'expected tokensSeen to be a count, got -1'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":1e300'), 'expected tokensSeen to be a count, got 1e+300'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":2147483648'), 'expected tokensSeen to be a count, got 2147483648'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":0.5'), 'expected tokensSeen to be a count, got 0.5'],
      [(json) => json.replace('"tokensSeen":20', '"tokensSeen":19'), 'expected 19 tokens in each layer by its header, got 20'],
      [(json) => json.replace('"tokens":[[', '"tokens":[['.padEnd(1e5, '[')), 'expected a header in JSON, got other text'],
      [(json) => json.replace(/"tokens":.*\]\]/, '"tokens":[[20,0,0]]'), 'expected a count of tokens for each layer and expert, got something else'],
      [(json) => json.replace(/"tokens":.*\]\]/, '"tokens":[[20,0,0],[20,0]]'), 'expected a count of tokens for each layer and expert'],
      [(json) => json.replace(/"tokens":.*\]\]/, '"tokens":[[20,0,0],[20,1,-1]]'), 'expected a count of tokens for each layer and expert'],
      [(json) => json.replace(/"tokens":.*\]\]/, '"tokens":[[20,0,0],[20,0,0]]'), /^CachePool.restore: expected \d+ bytes by its header, got \d+$/],
      [
        (json) => json.replace('"tokensSeen":20', '"tokensSeen":2147483647').replace(/"tokens":.*\]\]/, '"tokens":[[2147483647,0,0],[2147483647,0,0]]'),
        /^CachePool.restore: expected 413\d{9} bytes by its header, got \d+$/,
      ],
      [(json) => json.replace('"eviction":null', '"eviction":{"policy":"h2o:0.5"}'), 'expected eviction with policy and maxTokens, or null'],
      [(json) => json.replace('"eviction":null', '"eviction":7'), 'expected eviction with policy and maxTokens, or null'],
    ];
    for (const [header, message] of edits) await refused(await forged(await serialised, { header }), message);
    const long = (await serialised).slice() as Uint8Array<ArrayBuffer>;
    new DataView(long.buffer).setUint32(8, 2 ** 32 - 4, true);
    await refused(await sealed(long), `expected a header within its ${long.length} bytes, got one of 4294967292 bytes`);
  });

  it('a policy that it does not know, or can not be', async () => {
    const policy = (spec: string, maxTokens = 20) => ({
      header: (json: string) => json.replace('"h2o:0.5","maxTokens":20', `"${spec}","maxTokens":${maxTokens}`),
    });
    await refused(await forged(await evicting, policy('mine')), 'CachePool.restore: expected none, or one of h2o, nacl, window, mean-attention, oldest with a limit, such as h2o:0.6, got "mine"');
    await refused(await forged(await evicting, policy('h2o:0.5', 0)), 'expected maxTokens, of which it keeps a share');
    // One token more than were seen.
    const kept = /"tokens":\[\[([\d,]+)\]/.exec(new TextDecoder().decode(await evicting))![1]!.split(',').reduce((sum, count) => sum + Number(count), 0);
    const seen = (count: number) => forged(evictingBytes, { header: (json) => json.replace('"tokensSeen":20', `"tokensSeen":${count}`) });
    const evictingBytes = await evicting;
    await refused(await seen(kept - 1), `expected ${kept - 1} tokens in each layer by its header, got ${kept}`);
    await refused(await seen(kept), `expected different positions below ${kept} and finite scores in layer 0, got others`);
    await refused(await forged(await evicting, policy('none')), 'expected eviction none, which the cache was made with, got none');
  });

  it('a budget that can not be one', async () => {
    const budgeted = await filled(pool, 20, { cache: 'oldest@4:4000B', maxTokens: 20 }).serialise();
    const own = '"budget":{"policy":"oldest@4","maxTokens":20,"bytes":4000,"groupSizes":[1,2,4]}';
    expect(new TextDecoder().decode(budgeted)).toContain(own);
    await expect(pool.restore(budgeted)).resolves.toHaveProperty('tokensSeen', 20);
    const refusal = 'CachePool.restore: expected a budget with bytes, policy, maxTokens and group sizes, or null, got something else in its header';
    for (const [from, to] of [
      ['"policy":"oldest@4"', '"policy":7'], ['"maxTokens":20,"bytes"', '"maxTokens":-1,"bytes"'], ['"maxTokens":20,"bytes"', '"maxTokens":"20","bytes"'], ['"bytes":4000', '"bytes":0.5'], ['"bytes":4000', '"bytes":1e16'],
      ['[1,2,4]}', '7}'], ['[1,2,4]}', '[1,2]}'], ['[1,2,4]}', '[2,2,4]}'], ['[1,2,4]}', '[1,2,4,0]}'], ['[1,2,4]}', '[1,2,4,3]}'], ['[1,2,4]}', '[1,2,4,0.5]}'],
      ['[1,2,4]}', `[1,2,4${',4'.repeat(254)}]}`],
    ] as const) {
      await refused(await forged(budgeted, { header: (json) => json.replace(from, to) }), refusal);
    }
    await refused(await forged(budgeted, { header: (json) => json.replace('"bytes":4000', '"bytes":1') }), 'cache oldest@4:1B: expected at least');
  });

  it('places that are none', async () => {
    const index = async (byte: number) => forged(await serialised, { body: (body) => body.setUint8(0, byte) });
    const first = new DataView((await forged(await serialised, {})).buffer);
    const at = 12 + first.getUint32(8, true);
    await refused(await index(first.getUint8(at) | 3), 'ExpertIndex: expected an expert below 3, got 3');
    await refused(await index(first.getUint8(at) ^ 1), /^CachePool.restore: expected 7, 6, 7 tokens of the experts in layer 0, got an index with /);
    const refusal = 'expected different positions below 20 and finite scores in layer 0, got others';
    for (const position of [20, -1, 2 ** 31 - 1]) {
      await refused(await forged(await evicting, { body: (body) => body.setInt32(0, position, true) }), refusal);
    }
    await refused(await forged(await evicting, { body: (body) => body.setInt32(0, body.getInt32(4, true), true) }), refusal);
    // The first score is behind 4 positions.
    expect(new TextDecoder().decode(await evicting)).toContain('"tokens":[[4,');
    for (const score of [NaN, Infinity]) {
      await refused(await forged(await evicting, { body: (body) => body.setFloat32(16, score, true) }), refusal);
    }
  });

  it('when the memory is too small for it, and leaves none taken', async () => {
    const before = runtime.taken;
    runtime.memory.left = 4;
    await expect(pool.restore(await serialised)).rejects.toThrow(BackendError);
    runtime.memory.left = Infinity;
    expect(runtime.taken).toBe(before);
    await expect(pool.restore(await serialised)).resolves.toHaveProperty('tokensSeen', 20);
  });
});
