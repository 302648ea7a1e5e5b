import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { attentionKinds, parseAttention } from './index';

const LAYERS = [0, 1, 2, 3];

describe.each(Object.entries(attentionKinds))('%s', (name, kind) => {
  const variant = parseAttention(kind.example);

  it('has a canonical spec under its catalog name', () => {
    expect(variant.spec.split(':')[0]).toBe(name);
    expect(parseAttention(variant.spec).spec).toBe(variant.spec);
  });

  it('takes keys and values from a layer that has its own, not a later one', () => {
    for (const layer of LAYERS) {
      const source = variant.kvSource(layer);
      expect(source).toBeLessThanOrEqual(layer);
      expect(variant.kvSource(source)).toBe(source);
    }
  });

  it('has the budget that its traits add up to', () => {
    const { ratios, groupSizes } = variant.experts ?? { ratios: [1], groupSizes: [1] };
    const kept = ratios.reduce((sum, ratio, expert) => sum + ratio / groupSizes[expert]!, 0);
    const own = LAYERS.filter((layer) => variant.kvSource(layer) === layer).length / LAYERS.length;
    expect((variant.storedKvHeads(8) / 8) * own * kept).toBeCloseTo(variant.kvBudget, 12);
    expect(() => variant.validate({ kvHeads: 8, layers: 4 })).not.toThrow();
  });
});

describe('parseAttention', () => {
  it('normalises ratios and leaves default group sizes out of the spec', () => {
    const variant = parseAttention('mixsga:0.30:.1:0.6@1,2,4');
    expect(variant.spec).toBe('mixsga:0.3:0.1:0.6');
    expect(parseAttention('mixsga:3:1:6').experts).toEqual({ ratios: [0.3, 0.1, 0.6], groupSizes: [1, 2, 4], pooling: 'mean' });
    expect(parseAttention('mixsga:3:1:6').kvBudget).toBeCloseTo(0.5, 12);
    expect(parseAttention('mixsga:1:2@1,3').spec).toBe('mixsga:1:2@1,3');
  });

  it.each([
    ['', 'expected mha, gqa:GROUP_SIZE (such as gqa:2), cla:LAYERS'],
    ['MHA', 'got "MHA"'],
    ['mha:', 'expected mha, got "mha:"'],
    ['gqa', 'expected gqa:GROUP_SIZE (such as gqa:2), got "gqa"'],
    ['gqa:0', 'got "gqa:0"'],
    ['gqa:2.5', 'got "gqa:2.5"'],
    ['cla:-1', 'got "cla:-1"'],
    ['constructor', 'got "constructor"'],
    ['mixsga', 'got "mixsga"'],
    ['mixsga:3::6', 'got "mixsga:3::6"'],
    ['mixsga:3:1:6@1,2,x', 'got "mixsga:3:1:6@1,2,x"'],
    ['mixsga:3:1:6@1,2,4@1', 'got "mixsga:3:1:6@1,2,4@1"'],
    ['mixsga:1e3:1', 'got "mixsga:1e3:1"'],
    ['mixsga:3:-1:6', 'ratios: expected numbers of 0 or more, got 3:-1:6'],
    ['mixsga:0:0:0', 'ratios: expected at least one above 0'],
    ['mixsga:3:1:6@1,2', 'expected as many group sizes as ratios, got 3 ratios and 2 sizes'],
  ])('refuses %j', (spec, message) => {
    expect(() => parseAttention(spec)).toThrow(ArgumentError);
    expect(() => parseAttention(spec)).toThrow(message);
  });

  it.each([
    ['gqa:3', 'expected divisors of the 8 KV heads, got 3; replace 3 by one of 1, 2, 4, 8'],
    ['cla:3', 'cla:3: expected a divisor of the 4 layers, got 3; use one of 1, 2, 4'],
    ['mixsga:3:1:6@1,2,3', 'replace 3 by one of 1, 2, 4, 8'],
    ['mixsga:3:1:6@1,4,2', 'strictly increasing'],
    ['mixsga:1:1:1:1:1', 'got 1, 2, 4, 8, 16; replace 16 by one of'],
  ])('%s does not fit 8 KV heads and 4 layers', (spec, message) => {
    expect(() => parseAttention(spec).validate({ kvHeads: 8, layers: 4 })).toThrow(message);
  });
});
