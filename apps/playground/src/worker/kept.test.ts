// What the page says is kept of a token, against the bytes of real caches.
import { startBackend } from '@mixsga/backend';
import { type CacheFields, cacheOfFields } from '@mixsga/kv-cache';
import { fromPretrained, generate, inspectConfig } from '@mixsga/models';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Kept, RunStarted } from '../protocol';
import { RunView } from '../state/run-view';
import { defaults } from '../state/settings';
import { cacheLayers, keptOf, planVariant } from './plan';
import { CacheWatch } from './watch';

const zoo = fileURLToPath(new URL('../../../../packages/models/zoo/sotu-mini', import.meta.url));
const config = JSON.parse(await readFile(`${zoo}/config.json`, 'utf8')) as object;

/** Of sotu-mini: layers, and bytes of a token's keys and values in one, 8 heads of 16 dimensions each. */
const LAYERS = 4;
const FULL = 2 * 8 * 16 * 4;
const [PROMPT, NEW] = [60, 21];
const TOKENS = PROMPT + NEW - 1;

const all: Kept = { share: 1, text: 'all 8 heads' };
const four: Kept = { share: 0.5, text: '4 of 8 heads' };
const two: Kept = { share: 0.25, text: '2 of 8 heads' };
const one: Kept = { share: 0.125, text: '1 of 8 heads' };
const dimensions = (count: number): Kept => ({ share: count / 256, text: `${count} of 256 dimensions` });

type Limits = CacheFields;

beforeAll(async () => void (await startBackend('wasm')));

describe('what is kept of a token', () => {
  it.each([
    ['mha', [all]],
    ['gqa:2', [four]],
    ['gqa:8', [one]],
    ['gqa:k4v2', [dimensions(96)]],
    ['cla:2', [{ share: 0.5, text: 'all 8 heads, shared by 2 layers' }]],
    ['cla:4', [{ share: 0.25, text: 'all 8 heads, shared by 4 layers' }]],
    ['mixsga:3:1:6', [all, four, two]],
    ['mixsga:1:1@1,8', [all, one]],
    ['mixsga:1:2@1,k4v2', [dimensions(256), dimensions(96)]],
    ['mixsga-root:1:1', [all, four]],
    ['latent:1@4', [dimensions(64)]],
    ['latent:1@3', [dimensions(85)]],
    ['latent:3:1:6@4,8,16', [dimensions(64), dimensions(32), dimensions(16)]],
  ])('with %s is what its cache takes, and what the plan says', async (attention, expected) => {
    const { view, kept, bytes, places } = await watched(attention);
    expect(kept).toEqual(expected);
    expect(FULL * shares(view)).toBeCloseTo(bytes - places, 6);
    const plan = planVariant(await inspectConfig('m', config, 'config.json', attention), { attention, eviction: 'none' }, TOKENS);
    expect(plan.kept).toEqual(expected);
  });

  it.each([
    ['mha', [{ share: (16 * 20) / 1024, text: 'all 8 heads' }]],
    ['mixsga:3:1:6', [{ share: 320 / 1024, text: 'all 8 heads' }, { share: 160 / 1024, text: '4 of 8 heads' }, { share: 80 / 1024, text: '2 of 8 heads' }]],
    ['latent:1@4', [{ share: 68 / 1024, text: '64 of 256 dimensions' }]],
  ])('with %s in int8 has the scales, which are bytes too', async (attention, expected) => {
    const { view, kept, bytes, places } = await watched(attention, {}, 'int8');
    expect(kept).toEqual(expected);
    expect(FULL * shares(view)).toBeCloseTo(bytes - places, 6);
  });

  it.each<[string, Limits, Kept[]]>([
    ['mha', { kvBudget: 0.5 }, [all, four, two]],
    ['mha', { kvBudget: 0.5, kvPolicy: 'attention' }, [all, four, two]],
    ['mha', { kvBudget: 0.3, kvPolicy: 'oldest' }, [all, four, two, one]],
    ['mha', { kvBudget: 0.1, kvPolicy: 'oldest:evict' }, [all, four, two, one]],
    ['gqa:2', { kvBudget: 0.25 }, [four, two, one]],
    ['cla:2', { kvBudget: 0.25 }, [1, 2, 4].map((size) => ({ share: 0.5 / size, text: `${['all', '4 of', '', '2 of'][size - 1]} 8 heads, shared by 2 layers` }))],
    ['mixsga:3:1:6', { kvBudget: 0.4, kvPolicy: 'attention' }, [all, four, two, one]],
    ['latent:1@4', { kvBudget: 0.15 }, [dimensions(64), dimensions(32), dimensions(16)]],
  ])('with %s under %j is that of coarser tokens too', async (attention, { kvBudget, ...policy }, expected) => {
    const { view, kept, bytes, places } = await watched(attention, { kvBudget: Math.floor(Number(kvBudget) * TOKENS * LAYERS * FULL), ...policy });
    expect(kept).toEqual(expected);
    expect(FULL * shares(view)).toBeCloseTo(bytes - places, 6);
    // Some tokens have lost something, or nothing was tried.
    expect(view.cache!.expertCounts.slice(1).some((count) => count > 0)).toBe(true);
    expect(view.cache!.tokensKept < TOKENS).toBe(policy.kvPolicy?.endsWith('evict') ?? false);
  });

  it.each([
    ['mha', 'window:0.5', [all]],
    ['gqa:4', 'h2o:0.6', [two]],
    ['cla:2', 'window:0.5', [{ share: 0.5, text: 'all 8 heads, shared by 2 layers' }]],
    ['mixsga:3:1:6', 'nacl:0.5', [all, four, two]],
    ['latent:1@4', 'h2o:0.6', [dimensions(64)]],
  ])('with %s is nothing of a token that %s evicted', async (attention, eviction, expected) => {
    const { view, kept, bytes, places } = await watched(attention, { eviction });
    expect(kept).toEqual(expected);
    expect(FULL * shares(view)).toBeCloseTo(bytes - places, 6);
    for (let layer = 0; layer < LAYERS; layer++) {
      const gone = Array.from({ length: TOKENS }, (_, token) => token).filter((token) => view.isEvicted(layer, token));
      expect(gone).toHaveLength(TOKENS - view.cache!.tokensKept);
      expect(gone.map((token) => [view.share(layer, token), view.keptText(layer, token)])).toEqual(gone.map(() => [0, 'nothing, evicted']));
    }
  });
});

/** A generation, as the page sees it: `bytes` of its cache, of which `places` are not keys and values. */
async function watched(attention: string, limits: Limits = {}, kv: 'f32' | 'int8' = 'f32') {
  const report = await inspectConfig('m', config, 'config.json', attention);
  const { decoder } = await fromPretrained('sotu-mini', { attention, kv });
  const layers = cacheLayers(attention, LAYERS);
  const stored = new Set(layers).size;
  const cache = cacheOfFields(limits) ?? 'none';
  const empty = decoder.createCache({ cache, maxTokens: TOKENS + 1 });
  const { stored: entries } = empty;
  empty.dispose();
  const kept = keptOf(attention, report, entries);
  const started: RunStarted = {
    type: 'started', backend: 'wasm', backendDetail: '', weights: 'f32', prompt: [], generated: [], cacheLayers: layers, kept,
    ratios: [1], kvBudget: null, mhaPerToken: report.kvBytesPerTokenFull, gqaPerToken: null, tokensAtMost: TOKENS,
  };
  const { name, family, kvHeads, headDim, contextLength, parameters } = report;
  const model = { name, family, layers: LAYERS, kvHeads, headDim, contextLength, parameters, attention: 'mha', warnings: [] };
  const view = new RunView({ attention, eviction: limits.eviction ?? 'none' }, { settings: defaults, model });
  view.apply(started);
  const moves = Object.keys(limits).length > 0;
  const watch = new CacheWatch(stored, TOKENS, moves);
  const generation = generate(decoder, [Array.from({ length: PROMPT }, (_, i) => i + 40)], {
    cache,
    maxNewTokens: NEW,
    onPass: (_, cache) => view.apply({ type: 'step', token: { id: 0, text: '' }, speed: { prefill: null, decode: null }, ...watch.look(cache) }),
  });
  for await (const _ of generation);
  decoder.dispose();
  const { bytesUsed, expertCounts } = view.cache!;
  const inCache = expertCounts.reduce((sum, count) => sum + count, 0);
  const index = stored * Math.ceil((TOKENS * Math.ceil(Math.log2(expertCounts.length))) / 8);
  // Of each token its position and its score; else the bits of its expert.
  return { view, kept, bytes: bytesUsed, places: moves ? 8 * inCache : index };
}

/** Of all tokens in all layers of the model. */
function shares(view: RunView): number {
  let sum = 0;
  for (let layer = 0; layer < LAYERS; layer++) for (let token = 0; token < TOKENS; token++) sum += view.share(layer, token)!;
  return sum;
}
