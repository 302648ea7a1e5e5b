import { SeededRandom, startBackend } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';
import { modelShape } from '../config/shape';
import { convertConfig, convertedSource, convertModel } from '../checkpoints/convert';
import { sourceOf } from '../decoder/weight-loader';
import type { ModelConfig } from '../config/shape';
import { createDecoder } from '../decoder/create-decoder';
import { familyOf, parseModelConfig } from '../families/index';
import type { ParameterSource } from '../io/parameter-source';
import { fixtures, readFixture } from '../parity/fixture';
import { distance, inOnePass } from '../testing/decoding';
import { tinyConfig, tinyForms, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';
import { alignHeads, alignHeadValues } from './align-heads';
import { turnedColumns, turnedRows } from './apply';
import { identity, type Matrix } from './matrix';
import { orthogonal, pairSigns, rotary, type TurnGroup } from './turn';

type Values = Map<string, Float32Array>;
const forms = Object.keys(tinyForms) as TinyForm[];

beforeAll(async () => void (await startBackend('wasm')));

async function logits(config: ModelConfig, source: ParameterSource | Values, tokens = tinyTokens(20, 1)): Promise<Float32Array> {
  const decoder = await createDecoder(config, source);
  try {
    return await inOnePass(decoder, tokens, tokens.length);
  } finally {
    decoder.dispose();
  }
}

/** Sizes that divide the KV heads, nested. */
function groupingFor(config: ModelConfig) {
  const { kvHeads } = modelShape(config);
  const groupSizes = kvHeads % 4 === 0 ? [1, 2, 4] : [1, kvHeads];
  return { groupSizes, ratios: [3, 1, 6].slice(0, groupSizes.length) };
}

/** What leaves scores as they are: behind norms of keys with a gain for each element, a change of sign at most. */
function keyTurnsOf({ model_type: family }: ModelConfig): TurnGroup {
  if (family === 'opt') return orthogonal;
  return ['qwen3', 'gemma3_text', 'olmo2'].includes(family) ? pairSigns : rotary;
}

/** Orthogonal, of a group. */
function drawnTurn(random: SeededRandom, d: number, group: TurnGroup): Matrix {
  if (group === pairSigns) {
    const signs = Array.from({ length: d / 2 }, () => (random.normal() < 0 ? -1 : 1));
    return new Float64Array(d * d).map((_, i) => (i % (d + 1) === 0 ? signs[(i / (d + 1)) % (d / 2)]! : 0));
  }
  return group.nearest(new Float64Array(d * d).map(() => random.normal()), d);
}

/**
 * Values whose KV heads are the same keys and values, those of the first of each run of `size`, but in another order, and each in
 * a basis of its own: what alignment should find out. Queries and outputs stay all different.
 */
function disguised(config: ModelConfig, values: Values, size: number, seed: number): Values {
  const { heads, kvHeads, headDim: d, layers } = modelShape(config);
  const random = new SeededRandom(seed);
  const result = new Map(values);
  for (let layer = 0; layer < layers; layer++) {
    const at = `${familyOf(config).layerName(layer)}.self_attn.`;
    const order = Array.from({ length: kvHeads }, (_, i) => i);
    for (let i = kvHeads - 1; i > 0; i--) order.push(...order.splice(random.nextInt(i + 1), 1));
    const keyTurns = order.map(() => drawnTurn(random, d, keyTurnsOf(config)));
    const valueTurns = order.map(() => drawnTurn(random, d, orthogonal));
    for (const [name, array] of values) {
      if (!name.startsWith(at)) continue;
      const projection = name.slice(at.length, name.lastIndexOf('.'));
      const turns = projection === 'q_proj' || projection === 'k_proj' ? keyTurns : valueTurns;
      if (projection === 'q_proj') result.set(name, turnedRows(array, order, turns, d, heads));
      if (/^o(ut)?_proj$/.test(projection) && name.endsWith('weight')) result.set(name, turnedColumns(array, order, turns, d, heads));
      if (projection === 'k_proj' || projection === 'v_proj') result.set(name, turnedRows(repeated(array, kvHeads, size), order, turns, d, kvHeads));
      // A gain of all heads goes with them.
      const still = order.map(() => identity(d));
      if (projection === 'q_norm' && array.length > d) result.set(name, turnedRows(array, order, still, d, heads));
      if (projection === 'k_norm' && array.length > d) result.set(name, turnedRows(repeated(array, kvHeads, size), order, still, d, kvHeads));
    }
  }
  return result;
}

/** Rows head by head, those of the first head of each run of `size` for all of them. */
function repeated(array: Float32Array, heads: number, size: number): Float32Array {
  const block = array.length / heads;
  const same = array.slice();
  for (let head = 0; head < heads; head++) {
    const first = Math.floor(head / size) * size * block;
    same.copyWithin(head * block, first, first + block);
  }
  return same;
}

/** Σ |w − mean of its group|² / Σ |w|² over the K and V projections of all layers, at a group size. */
function groupedError(config: ModelConfig, values: ReadonlyMap<string, Float32Array>, size: number): number {
  const { kvHeads } = modelShape(config);
  let [error, total] = [0, 0];
  for (const [name, array] of values) {
    if (!/\.[kv]_proj\.weight$/.test(name)) continue;
    const block = array.length / kvHeads;
    for (let start = 0; start < array.length; start += size * block) {
      for (let i = 0; i < block; i++) {
        const same = Array.from({ length: size }, (_, head) => array[start + head * block + i]!);
        const mean = same.reduce((a, b) => a + b) / size;
        for (const value of same) [error, total] = [error + (value - mean) ** 2, total + value ** 2];
      }
    }
  }
  return error / total;
}

describe('alignHeads', () => {
  it.each(forms)('changes no logits of %s', async (form) => {
    const config = tinyConfig(form);
    const values = tinyValues(config, 3);
    const aligned = alignHeadValues(config, values, () => groupingFor(config));
    const [before, after] = [await logits(config, values), await logits(config, aligned)];
    expect(distance(after, before)).toBeLessThan(1e-5);
    const name = `${familyOf(config).layerName(1)}.self_attn.k_proj.weight`;
    expect(distance(aligned.get(name)!, values.get(name)!)).toBeGreaterThan(0.1);
  });

  it.each(fixtures)('changes no logits of the checkpoint %s', async (name) => {
    const { config: json, source, golden } = await readFixture(name);
    const config = parseModelConfig(json, 'config.json');
    const tokens = Int32Array.from(golden.prompt);
    const aligned = alignHeads(config, source, () => groupingFor(config));
    expect(distance(await logits(config, aligned, tokens), await logits(config, source, tokens))).toBeLessThan(1e-5);
  });

  it.each(forms)('makes heads of %s that share a group more alike', (form) => {
    const config = tinyConfig(form);
    const values = tinyValues(config, 4);
    const grouping = groupingFor(config);
    const aligned = alignHeadValues(config, values, () => grouping);
    for (const size of grouping.groupSizes.slice(1)) {
      // Random heads have 1 - 1/size of their square to lose.
      expect(groupedError(config, values, size)).toBeCloseTo(1 - 1 / size, 1);
      expect(groupedError(config, aligned, size)).toBeLessThan(groupedError(config, values, size) - 0.05);
    }
  });

  it.each(forms)('finds the same keys and values in heads of %s that are permuted and turned', async (form) => {
    const config = tinyConfig(form);
    const size = modelShape(config).kvHeads % 2 === 0 ? 2 : 3;
    for (const seed of [1, 2]) {
      const values = disguised(config, tinyValues(config, 10 + seed), size, seed);
      const before = await logits(config, values);
      const grouped = (align: boolean) => convertModel(config, values, `gqa:${size}`, { align });
      const [plain, aligned] = [grouped(false), grouped(true)];
      expect(distance(await logits(plain.config, plain.values), before)).toBeGreaterThan(0.05);
      expect(distance(await logits(aligned.config, aligned.values), before)).toBeLessThan(1e-4);
    }
  });

  it('gives the same for a source, whatever is read first, as for values, every time', async () => {
    const config = tinyConfig('llama');
    const values = tinyValues(config, 5);
    const grouping = { groupSizes: [2], ratios: [1] };
    const source = alignHeads(config, sourceOf(values), () => grouping);
    const once = alignHeadValues(config, values, () => grouping);
    for (const name of [...values.keys()].reverse()) expect(await source.read(name)).toEqual(once.get(name));
    expect(alignHeadValues(config, values, () => grouping)).toEqual(once);
    expect([source.has('model.norm.weight'), source.has('model.other')]).toEqual([true, false]);
  });

  it('leaves heads of a group that no token is for as they are, and zeros', () => {
    const config = tinyConfig('opt');
    const values = tinyValues(config, 6);
    expect(alignHeadValues(config, values, () => ({ groupSizes: [1, 2], ratios: [1, 0] }))).toEqual(values);
    const zeros = new Map([...values].map(([name, array]) => [name, array.map(() => 0)]));
    expect(alignHeadValues(config, zeros, () => ({ groupSizes: [2], ratios: [1] })).get('model.decoder.layers.0.self_attn.v_proj.weight')!.every((x) => x === 0)).toBe(true);
  });

  it('says that weights are damaged', () => {
    const config = tinyConfig('opt');
    const values = tinyValues(config, 6);
    values.get('model.decoder.layers.2.self_attn.k_proj.weight')![5] = NaN;
    expect(() => convertModel(config, values, 'gqa:2', { align: true })).toThrow('expected finite numbers');
  });
});

describe('conversion with align', () => {
  it('is kept in the configuration, for experts and GQA alike', async () => {
    const config = tinyConfig('opt');
    const values = tinyValues(config, 7);
    expect(convertConfig(config, 'gqa:2', { align: true }).mixsga).toEqual({ attention: 'gqa:2', align: true });
    const converted = convertModel(config, values, 'mixsga:3:1:6', { align: true, routerSeed: 2 });
    expect(converted.config.mixsga).toEqual({ attention: 'mixsga:3:1:6', router: 'sigmoid', routerSeed: 2, align: true });
    expect(parseModelConfig(JSON.parse(JSON.stringify(converted.config)), 'test')).toEqual(converted.config);
    const source = convertedSource(config, sourceOf(values), 'mixsga:3:1:6', { align: true });
    for (const [name, array] of converted.values) expect(await source.read(name)).toEqual(array);
  });

  it.each(['mha', 'cla:2', 'gqa:1'])('refuses %s, which groups no heads', (attention) => {
    const config = tinyConfig('opt');
    const message = `convert: align is for a variant that groups KV heads, such as gqa:2, got ${attention}; leave it out`;
    expect(() => convertConfig(config, attention, { align: true })).toThrow(message);
    expect(() => convertedSource(config, sourceOf(new Map()), attention, { align: true })).toThrow(message);
  });
});
