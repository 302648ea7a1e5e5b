import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExpertIndex } from './index';

describe('ExpertIndex', () => {
  it('holds what a plain array holds, for any number of experts and order of writes', () => {
    const kind = fc.constantFrom('append', 'append', 'append', 'truncate');
    const commands = fc.array(fc.record({ kind, token: fc.nat(), expert: fc.nat() }), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256 }), commands, (experts, writes) => {
        const index = new ExpertIndex(experts);
        const model: number[] = [];
        for (const { kind, token, expert } of writes) {
          if (kind === 'append' || model.length === 0) {
            index.append(expert % experts);
            model.push(expert % experts);
          } else {
            model.length = token % (model.length + 1);
            index.truncate(model.length);
          }
        }
        const again = ExpertIndex.fromPacked(experts, model.length, index.packed.slice());
        const copy = index.copy();
        for (const each of [index, again, copy]) {
          expect(each.length).toBe(model.length);
          expect(model.map((_, token) => each.get(token))).toEqual(model);
        }
        copy.append(0);
        again.append(experts - 1);
        expect(index.length).toBe(model.length);
        expect(index.bytes).toBe(Math.ceil((model.length * Math.ceil(Math.log2(experts))) / 8));
        expect(index.allocatedBytes).toBeGreaterThanOrEqual(index.bytes);
      }),
    );
  });

  it.each([
    { experts: 1, bits: 0, bytes: 0 },
    { experts: 2, bits: 1, bytes: 125 },
    { experts: 3, bits: 2, bytes: 250 },
    { experts: 4, bits: 2, bytes: 250 },
    { experts: 5, bits: 3, bytes: 375 },
  ])('takes $bits bits a token for $experts experts', ({ experts, bits, bytes }) => {
    const index = new ExpertIndex(experts);
    for (let token = 0; token < 1000; token++) index.append(token % experts);
    expect(index.bitsPerToken).toBe(bits);
    expect(index.bytes).toBe(bytes);
    expect(index.allocatedBytes).toBeLessThanOrEqual(1.125 * bytes + 9);
  });

  it('refuses what it does not hold', () => {
    const index = new ExpertIndex(3);
    index.append(2);
    expect(() => index.append(3)).toThrow(/expert below 3, got 3/);
    expect(() => index.append(-1)).toThrow(/expert below 3, got -1/);
    expect(() => index.append(0.5)).toThrow(/expert below 3, got 0.5/);
    expect(() => index.get(1)).toThrow(/token below 1, got 1/);
    expect(() => index.get(-1)).toThrow(/token below 1, got -1/);
    expect(() => index.truncate(-1)).toThrow('ExpertIndex.truncate: expected 0 to 1 tokens, got -1');
    expect(() => index.truncate(0.5)).toThrow('ExpertIndex.truncate: expected 0 to 1 tokens, got 0.5');
    expect(() => index.get(0.5)).toThrow(/token below 1, got 0.5/);
    expect(() => index.truncate(2)).toThrow('ExpertIndex.truncate: expected 0 to 1 tokens, got 2');
    expect(() => ExpertIndex.fromPacked(3, 9, new Uint8Array(2))).toThrow('ExpertIndex: expected 3 bytes for 9 tokens, got 2');
    expect(() => ExpertIndex.fromPacked(3, 2, Uint8Array.of(0b1101))).toThrow(/expert below 3, got 3/);
    for (const experts of [0, 257, 1.5, NaN]) expect(() => new ExpertIndex(experts)).toThrow(ArgumentError);
    expect(index.get(0)).toBe(2);
  });
});
