import { expect, it } from 'vitest';
import { formatBytes, formatSpeed, visible } from './format';
import { expertTone } from './palette';
import { isCount, partsOf, specOf } from './spec';

it('writes bytes with three digits', () => {
  expect([0, 999, 1000, 36_867, 99_960, 520_192, 999_600, 4.2e9, 7e12].map(formatBytes)).toEqual([
    '0 B', '999 B', '1.00 kB', '36.9 kB', '100 kB', '520 kB', '1.00 MB', '4.20 GB', '7000 GB',
  ]);
});

it('writes speeds and tokens', () => {
  expect([null, 3.14159, 1234.5].map(formatSpeed)).toEqual(['…', '3.1', '1,235']);
  expect(['\n', '', ' a\t'].map(visible)).toEqual(['↵', '∅', ' a⇥']);
});

it.each(['mha', 'gqa:2', 'mixsga:3:1:6', 'mixsga:0.5:1:2:3@1,2,4,8', 'nacl:0.6:7'])('takes the spec %s apart', (spec) => {
  expect(specOf(partsOf(spec))).toBe(spec);
});

it('tells counts from ratios', () => {
  expect(['gqa:2', 'cla:2', 'mha', 'latent:1@4', 'mixsga:3:1:6'].map(isCount)).toEqual([true, true, false, false, false]);
});

it('has colours that differ in lightness or hue, whatever the number of experts', () => {
  expect([0, 1, 2].map((expert) => expertTone(expert, 3, 'light'))).toEqual(['#7db3ea', '#f2b058', '#a9aeb6']);
  expect(expertTone(0, 1, 'light')).toBe('#7db3ea');
  expect(new Set([0, 1, 2, 3, 4].map((expert) => expertTone(expert, 5, 'dark'))).size).toBe(5);
});
