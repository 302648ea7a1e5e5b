import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cacheOfFields, CachePool, fieldsOfCache, formatCacheSpec, parseCacheSpec, policyNames, resolveCacheSpec, type CacheSpec } from '../index';
import { groups } from '../testing/drive';
import { WatchedRuntime } from '../testing/watched-pages';

const NAMES = 'h2o, nacl, window, mean-attention, oldest';
const PLUGIN = '; a plugin may register it (--plugin, registerPolicy)';

describe('the text of a spec', () => {
  it.each<[string, CacheSpec]>([
    ['h2o:0.6', { policy: 'h2o', limit: { tokens: 0.6 } }],
    ['nacl:0.6:3', { policy: 'nacl', limit: { tokens: 0.6 }, seed: 3 }],
    ['window:1', { policy: 'window', limit: { tokens: 1 } }],
    ['mean-attention:65536B', { policy: 'mean-attention', limit: { bytes: 65_536 } }],
    ['mean-attention@2,4:12.5%', { policy: 'mean-attention', limit: { share: 0.125 }, sizes: [2, 4] }],
    ['h2o@4,2:50%:coarsen+evict', { policy: 'h2o', limit: { share: 0.5 }, sizes: [4, 2], action: 'coarsen+evict' }],
    ['nacl:50%:7:evict', { policy: 'nacl', limit: { share: 0.5 }, seed: 7, action: 'evict' }],
    ['oldest:7%', { policy: 'oldest', limit: { share: 0.07 } }],
    ['oldest:1e-7', { policy: 'oldest', limit: { tokens: 1e-7 } }],
  ])('%s', (text, spec) => {
    expect(parseCacheSpec(text)).toEqual(spec);
    expect(formatCacheSpec(spec)).toBe(text);
  });

  it('is one for all ways to say the same', () => {
    const texts = { 'h2o:.6': 'h2o:0.6', 'h2o:0.60': 'h2o:0.6', 'nacl:0.6:0': 'nacl:0.6', 'h2o:0.6:evict': 'h2o:0.6', 'h2o:50%:coarsen': 'h2o:50%', 'attention@2:9B': 'h2o@2:9B', none: 'none' };
    for (const [text, canonical] of Object.entries(texts)) expect(formatCacheSpec(parseCacheSpec(text))).toBe(canonical);
    expect(formatCacheSpec(resolveCacheSpec({ policy: 'attention', limit: { bytes: 9 }, action: 'coarsen', seed: 0 }))).toBe('h2o:9B');
    expect(resolveCacheSpec(undefined)).toBe(null);
  });

  it('is read as it was written, whatever the spec', () => {
    const share = fc.integer({ min: 1, max: 10_000 }).map((n) => n / 10_000);
    const limit = fc.oneof(fc.record({ tokens: share }), fc.record({ share }), fc.record({ bytes: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) }));
    const spec = fc.record({
      policy: fc.constantFrom(...policyNames()), limit, action: fc.constantFrom('evict' as const, 'coarsen' as const, 'coarsen+evict' as const),
      sizes: fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 3 }), seed: fc.integer({ min: 1, max: 999_999_999 }),
    }, { requiredKeys: ['policy', 'limit'] });
    let fitting = 0;
    fc.assert(fc.property(spec, (given) => {
      let resolved;
      try {
        resolved = resolveCacheSpec(given)!;
      } catch (error) {
        expect(ArgumentError.isInstance(error)).toBe(true);
        return;
      }
      fitting++;
      const text = formatCacheSpec(given);
      expect(resolveCacheSpec(text)).toEqual(resolved);
      expect(formatCacheSpec(resolved)).toBe(text);
      const fields = fieldsOfCache(given);
      expect(resolveCacheSpec(cacheOfFields(JSON.parse(JSON.stringify(fields)) as typeof fields))).toEqual(resolved);
    }), { numRuns: 400 });
    expect(fitting).toBeGreaterThan(30);
  });

  it.each([
    ['h20:0.6', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got "h20:0.6"; did you mean h2o?`],
    ['lru:0.6', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got "lru:0.6"${PLUGIN}`],
    ['constructor:1', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got "constructor:1"${PLUGIN}`],
    ['', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got ""${PLUGIN}`],
    ['none:1', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got "none:1"${PLUGIN}`],
    ['oldest@:9B', `none, or one of ${NAMES} with a limit, such as h2o:0.6, got "oldest@:9B"; did you mean oldest?`],
    ...['h2o', 'h2o:', 'h2o:0', 'h2o:1.01', 'h2o:NaN', 'h2o:-1', 'h2o:101%', 'h2o:0%', 'h2o:0B', 'h2o:1.5B', 'h2o:9007199254740993B', 'h2o:0.5 ', 'h2o:9b']
      .map((text) => [text, `a limit above 0 after h2o, such as h2o:0.6 of the tokens, h2o:50% or h2o:65536B, got "${text}"`]),
    ['h2o:0.5:1', 'no seed, since h2o draws nothing, got h2o:0.5:1'],
    ['h2o:0.5:coarsen', 'a limit in bytes to coarsen to, such as 50% or 65536B, got h2o:0.5:coarsen'],
    ['h2o@2:0.5', 'no sizes where tokens are evicted and none is coarsened, got h2o@2:0.5'],
    ...[['nacl:0.5:abc', 'abc'], ['h2o:0.5:-1', '-1'], ['h2o:0.5:evicts', 'evicts'], ['h2o:0.5:evict:', ''], ['nacl:0.5:3:4', '4']]
      .map(([text, rest]) => [text, `nothing after the limit but a seed of up to 9 digits and then one of evict, coarsen, coarsen+evict, got "${rest}" in "${text}"`]),
  ])('is not %j', (text, expected) => {
    expect(() => parseCacheSpec(text!)).toThrow(new ArgumentError(`cache: expected ${expected}`));
  });

  it('may name no policy that was removed', () => {
    expect(() => parseCacheSpec('margin:0.5', '--eviction')).toThrow(/^--eviction: margin, by how sure routers were, was removed, .* \(docs\/log.md\); use mean-attention$/);
  });
});

it('a spec has no parts that nobody reads, and none out of range', () => {
  const refused = (spec: object, message: string) => expect(() => resolveCacheSpec(spec as CacheSpec)).toThrow(`cache: ${message}`);
  refused({ policy: 'h2o', limits: { tokens: 1 } }, 'there is no option "limits"; did you mean limit?');
  refused({ policy: 'h2o' }, 'expected a limit of one kind');
  refused({ policy: 'h2o', limit: { token: 0.5 } }, 'limit: there is no option "token"; did you mean tokens?');
  for (const limit of [{}, { tokens: 1, bytes: 9 }, { tokens: 2 }, { share: -1 }, null]) refused({ policy: 'h2o', limit }, 'expected a limit of one kind');
  refused({ policy: 'h2o', limit: { bytes: 9 }, action: 'drop' }, 'expected an action of evict, coarsen, coarsen+evict, got');
  for (const seed of [-1, 0.5, 1e9]) refused({ policy: 'nacl', limit: { bytes: 9 }, seed }, 'expected a seed that is a whole number of up to 9 digits, got');
  refused({ policy: 'lru', limit: { bytes: 9 } }, `expected none, or one of ${NAMES} with a limit, such as h2o:0.6, got "lru"`);
});

describe('the fields of options and results', () => {
  it.each([
    [{}, undefined],
    [{ eviction: 'none' }, 'none'],
    [{ eviction: 'nacl:0.6:3' }, 'nacl:0.6:3'],
    [{ eviction: 'h2o:65536B:evict' }, 'h2o:65536B:evict'],
    [{ kvBudget: 65_536 }, 'mean-attention:65536B'],
    [{ kvBudget: '25%' }, 'mean-attention:25%'],
    [{ kvBudget: 65_536, kvPolicy: 'attention@2,4:evict' }, 'h2o@2,4:65536B:coarsen+evict'],
    [{ kvBudget: 65_536, kvPolicy: 'oldest' }, 'oldest:65536B'],
    [{ kvBudget: 65_536, kvPolicy: 'nacl:3:evict' }, 'nacl:65536B:3:coarsen+evict'],
  ])('%j', (fields, text) => {
    const cache = cacheOfFields(fields);
    expect(cache && formatCacheSpec(resolveCacheSpec(cache))).toBe(text);
    expect(fieldsOfCache(cache)).toEqual(fields);
    expect(fieldsOfCache(text)).toEqual(fields);
  });

  it('say what is coarsened by default in as few fields as that takes', () => {
    expect(fieldsOfCache(cacheOfFields({ eviction: 'none', kvBudget: '9', kvPolicy: 'mean-attention' }))).toEqual({ kvBudget: 9 });
    expect(fieldsOfCache(cacheOfFields({ kvBudget: 9, kvPolicy: 'h2o' }))).toEqual({ kvBudget: 9, kvPolicy: 'attention' });
  });

  const names = { eviction: '--eviction', kvBudget: '--kv-budget', kvPolicy: '--kv-policy' };
  it.each<[object, string]>([
    [{ kvPolicy: 'oldest' }, '--kv-policy: expected --kv-budget with it, the bytes that it divides, got none'],
    ...[0, 1.5, NaN, '0.5', '0%', 'much', ''].map((kvBudget): [object, string] => [{ kvBudget }, `--kv-budget: expected a whole number of bytes from 1, or a share such as 25%, got ${kvBudget}`]),
    [{ kvBudget: 9, eviction: 'h2o:0.5' }, '--kv-budget: expected no --eviction beside it, got h2o:0.5; a policy such as attention:evict evicts'],
    [{ eviction: 'h2o:50%' }, '--eviction: expected what evicts, such as h2o:0.6 or h2o:50%:evict, got h2o:50%; to coarsen use --kv-budget'],
    [{ eviction: 'lru:1' }, `--eviction: expected none, or one of ${NAMES} with a limit, such as h2o:0.6, got "lru:1"`],
    [{ kvBudget: 9, kvPolicy: 'margin:evict' }, '--kv-policy: margin, by how sure routers were, was removed, since it lost more than any other policy (docs/log.md); use mean-attention'],
    ...['', 'oldest:', 'oldest@', 'oldest@2,', 'oldest:evicts', 'newest', 'constructor', 'oldest@2:evict:evict', 'x oldest'].map((kvPolicy): [object, string] => [
      { kvBudget: 9, kvPolicy }, `--kv-policy: expected one of ${NAMES}, alone or with group sizes and :evict (such as attention@2,4:evict), got ${JSON.stringify(kvPolicy)}`,
    ]),
  ])('are not %j', (fields, message) => {
    const read = () => cacheOfFields(fields, names);
    expect(read).toThrow(ArgumentError);
    expect(read).toThrow(message);
  });
});

it('attention is h2o, to the last token', () => {
  const pool = new CachePool(new WatchedRuntime(), { layers: 1, formats: groups(4, 1, [1]), fingerprint: 'same' });
  const places = ['attention:600B', 'h2o:600B'].map((text) => {
    const cache = pool.create({ cache: text, maxTokens: 30 });
    for (let token = 0; token < 29; token++) {
      cache.view(0).segments.forEach(({ tokens }, segment) => cache.observe(0, segment, Float32Array.from({ length: tokens }, (_, slot) => Math.abs(Math.sin(slot * token)))));
      cache.commit([0]);
    }
    return Array.from({ length: 29 }, (_, token) => cache.expertOf(0, token));
  });
  expect(places[0]).toEqual(places[1]);
});
