import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backendChoices } from '../protocol';
import { defaults, fromFragment, readNumber, toFragment, type Settings } from './settings';

const text = fc.string({ unit: 'binary', minLength: 1 });
const spec = fc.constantFrom('mha', 'gqa:2', 'mixsga:3:1:6', 'mixsga:0.5:1@1,8');
const eviction = fc.constantFrom('none', 'h2o:0.6', 'nacl:0.5:7');
const kvBudget = fc.constantFrom(0.05, 0.5, 0.125);
const settings: fc.Arbitrary<Settings> = fc.record({
  prompt: text,
  model: fc.constantFrom('sotu-mini', 'files', 'HuggingFaceTB/SmolLM2-135M@main'),
  variants: fc.array(fc.record({ attention: spec, eviction, kvBudget }, { requiredKeys: ['attention', 'eviction'] }), { minLength: 1, maxLength: 2 }),
  backend: fc.constantFrom(...backendChoices),
  maxNewTokens: fc.integer({ min: 1, max: 100_000 }),
  temperature: fc.double({ min: 0, max: 5, noNaN: true }).map(Math.abs),
  topK: fc.nat(1000),
  topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
  seed: fc.maxSafeNat(),
  pace: fc.nat(1000),
});

describe('the address', () => {
  it('has all settings', () => {
    fc.assert(fc.property(settings, (each) => void expect(fromFragment(`#${toFragment(each)}`)).toEqual(each)));
  });

  it('says what is not the default alone', () => {
    expect(toFragment(defaults)).toBe('');
    expect(toFragment({ ...defaults, seed: 7, variants: [...defaults.variants, { attention: 'mha', eviction: 'none' }] })).toBe('attention2=mha&seed=7');
    expect(fromFragment('')).toEqual(defaults);
  });

  it('takes the defaults for what is no setting', () => {
    expect(fromFragment('#backend=quantum&kv_budget=1&seed=-1&top_p=2&max=1.5&temperature=hot&top_k=&pace=1e9')).toEqual(defaults);
    fc.assert(fc.property(fc.string(), (any) => void fromFragment(any)));
  });
});

describe('readNumber', () => {
  it.each([
    ['temperature', '0.7', 0.7], ['temperature', '', null], ['temperature', ' ', null], ['temperature', '-1', null], ['topP', '0', null], ['topP', '1', 1],
    ['maxNewTokens', '12', 12], ['maxNewTokens', '0', null], ['seed', '1.5', null], ['seed', 'NaN', null], ['seed', '9007199254740993', null],
  ] as const)('reads %s from %j as %j', (setting, typed, expected) => {
    expect(readNumber(setting, typed)).toBe(expected);
  });
});
