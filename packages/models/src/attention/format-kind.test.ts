import { ArgumentError } from '@mixsga/backend';
import { groupedFormat } from '@mixsga/experts';
import { describe, expect, it } from 'vitest';
import { keptShare } from '../sizes/cost';
import { formatKind, type FormatForm } from './format-kind';
import { mixtureKind } from './mixture';
import { parseAttention } from './index';

const MODEL = { layers: 4, kvHeads: 8, headDim: 16, rotary: false };
const packing = { bytes: 48, pack: () => undefined, unpack: () => undefined };
const whole: FormatForm = { name: 'own-whole', description: 'all of it', takesRotatedKeys: false, compression: 1, create: (layout) => groupedFormat({ ...layout, groupSize: 1 }) };

describe('formatKind', () => {
  it('is one format for every token of every layer', () => {
    const kind = formatKind({ ...whole, compression: 4 });
    expect([kind.form, kind.example, kind.parse('2')]).toEqual(['own-whole', 'own-whole', null]);
    const variant = kind.parse(null)!;
    expect([variant.spec, variant.kvShare, variant.experts, variant.storedKvHeads(8), variant.kvSource(3)]).toEqual(['own-whole', 0.25, null, 8, 3]);
    expect(variant.formats.stored({ kvHeads: 8, headDim: 16 }).map(({ name }) => name)).toEqual(['grouped:1']);
    expect(variant.formats.create({ kvHeads: 8, headDim: 16 }, new Map()).map(({ name }) => name)).toEqual(['grouped:1']);
  });

  it('is refused by models that rotate keys which the format does not take, and by those that it does not fit', () => {
    expect(() => formatKind(whole).parse(null)!.validate(MODEL)).not.toThrow();
    expect(() => formatKind(whole).parse(null)!.validate({ ...MODEL, rotary: true })).toThrow('own-whole: expected a model whose positions are learned');
    expect(() => formatKind({ ...whole, takesRotatedKeys: true }).parse(null)!.validate({ ...MODEL, rotary: true })).not.toThrow();
    const check = () => { throw new ArgumentError('own-whole: expected even heads'); };
    expect(() => formatKind({ ...whole, check }).parse(null)!.validate(MODEL)).toThrow('expected even heads');
  });
});

describe('keptShare', () => {
  const bits = (layout: { kvHeads: number; headDim: number }) => {
    const format = groupedFormat({ ...layout, groupSize: 1 });
    return { ...format, stored: { ...format.stored, packing } };
  };

  it('counts the bytes that a format packs, which the spec alone does not know', () => {
    const variant = formatKind({ ...whole, compression: 32, create: bits }).parse(null)!;
    expect(variant.kvShare).toBe(1 / 32);
    // 16 heads of 16 float32 are 1024 bytes.
    expect(keptShare(MODEL, variant)).toBe(48 / 1024);
    expect(keptShare({ ...MODEL, headDim: 8 }, variant)).toBe(48 / 512);
  });

  it('weighs experts by their ratios', () => {
    const kind = mixtureKind<number>({
      name: 'own-mixed', description: '', example: '1:3', parseSize: Number, formatSize: String, defaultSizes: () => [1, 32], compression: (size) => size, check: () => undefined,
      formats: () => ({ takesRotatedKeys: true, grouping: null, stored: (layout) => [whole.create(layout), bits(layout)], create: () => [] }),
    });
    expect(keptShare(MODEL, kind.parse('1:3')!)).toBeCloseTo(0.25 + 0.75 * 48 / 1024, 12);
  });

  it.each(['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6', 'latent:1@3', 'gqa:k4v2'])('is what the spec says where nothing is packed: %s', (spec) => {
    expect(keptShare(MODEL, parseAttention(spec))).toBe(parseAttention(spec).kvShare);
  });
});
