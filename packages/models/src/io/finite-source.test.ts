import { ArgumentError, FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { allFinite, finiteSource } from './finite-source';

describe('allFinite', () => {
  it('finds a NaN or infinity wherever it is', () => {
    for (let length = 0; length < 11; length++) {
      const values = Float32Array.from({ length }, (_, i) => (i % 2 ? -3e38 : 3e38));
      expect(allFinite(values)).toBe(true);
      for (let at = 0; at < length; at++) {
        for (const bad of [NaN, Infinity, -Infinity]) expect(allFinite(values.with(at, bad))).toBe(false);
      }
    }
  });
});

describe('finiteSource', () => {
  const sourceOf = (...values: number[]) => ({ has: (name: string) => name === 'w', read: async () => Float32Array.from(values) });

  it('passes finite values on, and is not put around itself', async () => {
    const source = finiteSource(sourceOf(1, 2));
    expect(await source.read('w')).toEqual(Float32Array.of(1, 2));
    expect([source.has('w'), source.has('v')]).toEqual([true, false]);
    expect(finiteSource(source)).toBe(source);
    expect(finiteSource(source, () => 'x')).toBe(source);
  });

  it('names the first bad value, of a file or of the caller', async () => {
    const read = (whereOf?: (name: string) => string) => finiteSource(sourceOf(1, -Infinity, NaN), whereOf).read('w').catch((e: unknown) => e as Error);
    const message = 'w: expected finite weights, got -Infinity at index 1 of 3';
    expect(await read()).toEqual(new ArgumentError(message));
    const error = await read((name) => `${name}.bin`);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toBe(`w.bin: ${message}; the model is damaged, fetch or save it again`);
  });
});
