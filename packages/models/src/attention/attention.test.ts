import { ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attentionKinds, parseAttention, registerAttention } from './index';
import { mixtureKind } from './mixture';
import type { AttentionKind } from './variant';

const LAYERS = [0, 1, 2, 3];
const SHAPE = { kvHeads: 8, headDim: 16, layers: 4, rotary: false };

describe.each(Object.entries(attentionKinds))('%s', (name, kind) => {
  const variant = parseAttention(kind.example);

  it('writes its catalog name', () => {
    expect(variant.spec.split(':')[0]).toBe(name);
  });

  it('has the budget that its traits add up to', () => {
    const ratios = variant.experts?.ratios ?? [1];
    const stored =
      variant.formats.stored(SHAPE).map(({ stored: { heads, headDim } }) => (heads * headDim) / (2 * SHAPE.kvHeads * SHAPE.headDim));
    const kept = ratios.reduce((sum, ratio, expert) => sum + ratio * stored[expert]!, 0);
    const own = LAYERS.filter((layer) => variant.kvSource(layer) === layer).length / LAYERS.length;
    expect((variant.storedKvHeads(8) / 8) * own * kept).toBeCloseTo(variant.kvShare, 12);
    expect(() => variant.validate(SHAPE)).not.toThrow();
  });
});

describe('parseAttention', () => {
  it('normalises ratios and leaves default group sizes out of the spec', () => {
    const variant = parseAttention('mixsga:0.30:.1:0.6@1,2,4');
    expect(variant.spec).toBe('mixsga:0.3:0.1:0.6');
    expect(parseAttention('mixsga:3:1:6').experts).toMatchObject({ ratios: [0.3, 0.1, 0.6], sizes: [1, 2, 4] });
    expect(parseAttention('mixsga:3:1:6').formats.grouping).toEqual({ groupSizes: [1, 2, 4], pooling: 'mean' });
    expect(parseAttention('mixsga:3:1:6').kvShare).toBeCloseTo(0.5, 12);
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
    ['mixsga:0.0000001:1', 'got "mixsga:0.0000001:1"'],
    ['mixsga:3:1:6/', 'got "mixsga:3:1:6/"'],
    ['mixsga:3:1:6/3:x:6', 'got "mixsga:3:1:6/3:x:6"'],
    ['mixsga:3:1:6=', 'got "mixsga:3:1:6="'],
    ['mixsga:3:1:6=half', 'got "mixsga:3:1:6=half"'],
    ['mixsga:3:1:6=0.5@1,2,4', 'got "mixsga:3:1:6=0.5@1,2,4"'],
    ['mixsga:3:1:6=0.5=0.5', 'got "mixsga:3:1:6=0.5=0.5"'],
    ['mixsga:3:1:6/1:1', 'expected as many ratios for every layer, got 3 and 2; an expert without tokens has ratio 0'],
    ['mixsga:3:1:6/0:0:0', 'ratios: expected at least one above 0'],
    ['mixsga:3:1:6=0.25', 'expected ratios that keep 0.25 of the KV cache, as the spec states, got 0.5; change the ratios or the budget'],
    ['mixsga:1:0:0/0:1:0=0.7485', 'expected ratios that keep 0.7485 of the KV cache, as the spec states, got 0.75'],
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
    ['mixsga:3:1:6/1:1:2', 'expected ratios for each of the 4 layers, or one list for all, got 2 lists; separate them by /'],
    ['mixsga:3:1:6@1,2,3', 'replace 3 by one of 1, 2, 4, 8'],
    ['mixsga:3:1:6@1,4,2', 'strictly increasing'],
    ['mixsga:1:1:1:1:1', 'got 1, 2, 4, 8, 16; replace 16 by one of'],
  ])('%s does not fit 8 KV heads and 4 layers', (spec, message) => {
    expect(() => parseAttention(spec).validate(SHAPE)).toThrow(message);
  });
});

const shapes = ({ formats }: ReturnType<typeof parseAttention>) => formats.stored(SHAPE).map(({ stored }) => stored);

describe('latents', () => {
  it('store a share of the dimensions, in spec as asked for, and route only when they are of several sizes', () => {
    const single = parseAttention('latent:1@4');
    expect([single.spec, single.kvShare, single.experts, single.formats.grouping]).toEqual(['latent:1@4', 0.25, null, null]);
    expect(shapes(single)).toEqual([{ heads: 1, headDim: 64 }]);
    const mixture = parseAttention('latent:3:1:6@4,8,16=0.125');
    expect(mixture.experts).toMatchObject({ ratios: [0.3, 0.1, 0.6], sizes: [4, 8, 16] });
    expect(shapes(mixture).map(({ headDim }) => headDim)).toEqual([64, 32, 16]);
    expect(shapes(parseAttention('latent:1@5.33'))).toEqual([{ heads: 1, headDim: 48 }]);
    expect(parseAttention('latent:1:0/0:1@2,8=0.3125').experts!.ratiosOf(1)).toEqual([0, 1]);
  });

  it('group keys and values differently, routed or not', () => {
    const alone = parseAttention('gqa:k4v2');
    expect([alone.spec, alone.kvShare, alone.storedKvHeads(8)]).toEqual(['gqa:k4v2', 0.375, 8]);
    expect(shapes(alone)).toEqual([{ heads: 6, headDim: 16 }]);
    const mixture = parseAttention('mixsga:3:1:6@1,k4v2,4');
    expect([mixture.spec, mixture.kvShare]).toEqual(['mixsga:3:1:6@1,k4v2,4', expect.closeTo(0.3 + 0.0375 + 0.15, 12)]);
    expect(parseAttention('mixsga:1:1:2@1,k2v2,4').spec).toBe('mixsga:1:1:2');
    expect(() => alone.validate({ ...SHAPE, rotary: true })).not.toThrow();
  });

  it.each([
    ['latent:1', SHAPE, 'expected latent:RATIO:RATIO...[/RATIO:RATIO... for each layer]@SIZE,SIZE...[=BUDGET] (such as latent:1@4), got "latent:1"'],
    ['latent:1@0.5', SHAPE, 'expected sizes that are numbers from 1, got 0.5'],
    ['latent:1:1@8,4', SHAPE, 'expected sizes that leave fewer and fewer of the 256 numbers of a token, got 8,4, which leave 32, 64'],
    ['latent:1:1@4,4.01', SHAPE, 'which leave 64, 64'],
    ['latent:1@1000', SHAPE, 'which leave 0'],
    ['latent:1@4', { ...SHAPE, rotary: true }, 'latent: expected a model whose positions are learned, such as opt, got one whose keys are turned'],
    ['gqa:k3v2', SHAPE, 'expected divisors of the 8 KV heads, got 3'],
    ['gqa:k0v2', SHAPE, 'got "gqa:k0v2"'],
    ['mixsga:1:1@4,k4v2', SHAPE, 'expected experts that store fewer and fewer heads, got 4,k4v2'],
    ['mixsga-root:1:1@1,k4v2', SHAPE, 'mixsga-root: expected keys and values in groups of the same size, got 1,k4v2; use mixsga'],
  ])('refuses %s', (spec, shape, message) => {
    expect(() => parseAttention(spec).validate(shape)).toThrow(message);
  });
});

describe('registerAttention', () => {
  it('takes a kind of your own under a name that is free', () => {
    const kind = attentionKinds.gqa;
    registerAttention('own-gqa', kind);
    registerAttention('own-gqa', kind);
    expect(parseAttention('own-gqa:2').kvShare).toBe(0.5);
    expect(() => registerAttention('own-gqa', attentionKinds.mha)).toThrow('expected a name that is free, got own-gqa');
    expect(() => registerAttention('Own', kind)).toThrow('expected a name of letters, digits and hyphens, got "Own"');
  });

  it.each<[string, (kind: AttentionKind) => object]>([
    ['expected parse to be a function, got nothing', () => ({ parse: undefined })],
    ['expected parse to read its example "gqa:2", got null', () => ({ parse: () => null })],
    ['gqa:2: expected formats.takesRotatedKeys to be a boolean, got nothing', (kind) => ({ parse: (text: string) => ({ ...kind.parse(text), formats: { stored: () => [] } }) })],
    ['gqa:2: expected kvShare to be a number, got "half"', (kind) => ({ parse: (text: string) => ({ ...kind.parse(text), kvShare: 'half' }) })],
  ])('refuses a kind that lacks something: %s', (message, part) => {
    const kind = attentionKinds.gqa;
    expect(() => registerAttention('own-part', { ...kind, ...part(kind) } as AttentionKind)).toThrow(new ArgumentError(`registerAttention: own-part: ${message}`));
    expect(() => parseAttention('own-part:2')).toThrow(/got "own-part:2"; a plugin may register it \(--plugin, registerAttention\)$/);
    expect(() => parseAttention('mixgsa:3:1:6')).toThrow(/; did you mean mixsga\?$/);
  });

  it('says what a mixture needs sizes for', () => {
    const two = mixtureKind<number>({
      name: 'own-two', description: 'of one or two', example: '1:3', parseSize: Number, formatSize: String, defaultSizes: (experts) => (experts === 2 ? [1, 2] : null),
      compression: (size) => size, formats: (sizes) => parseAttention(`mixsga:1:1@${sizes.join(',')}`).formats, check: () => undefined,
    });
    expect(two.form).toBe('own-two:RATIO:RATIO...[/RATIO:RATIO... for each layer][@SIZE,SIZE...][=BUDGET]');
    expect(two.parse('1:3')!.spec).toBe('own-two:1:3');
    expect(() => two.parse('1:1:1')).toThrow('own-two: expected a size for each of 3 experts, such as own-two:1:1:1@SIZE,SIZE..., got none, and for so many there is no default');
    expect(attentionKinds.latent.form).toContain('layer]@SIZE,SIZE...[=BUDGET]');
  });
});

describe('ratios by layer', () => {
  it('are each layer\'s own, and keep the mean of what each keeps', () => {
    const variant = parseAttention('mixsga:1:0:0/0:2:2/3:1:6/0:0:1=0.531');
    expect(LAYERS.map((layer) => variant.experts!.ratiosOf(layer))).toEqual([[1, 0, 0], [0, 0.5, 0.5], [0.3, 0.1, 0.6], [0, 0, 1]]);
    expect(variant.experts!.ratios).toEqual([0.325, 0.15, 0.525]);
    expect(variant.kvShare).toBeCloseTo((1 + 0.375 + 0.5 + 0.25) / 4, 12);
    expect(variant.spec).toBe('mixsga:1:0:0/0:2:2/3:1:6/0:0:1=0.531');
    expect(() => variant.validate(SHAPE)).not.toThrow();
  });

  it('of a single list are those of every layer', () => {
    const { ratios, ratiosOf } = parseAttention('mixsga:3:1:6=0.5').experts!;
    for (const layer of [...LAYERS, 31]) expect(ratiosOf(layer)).toEqual(ratios);
  });

  it('are changed for others, rounded to 4 digits', () => {
    const { experts } = parseAttention('mixsga-root:3:1@1,3');
    expect(experts!.withRatios([[1, 0], [1 / 3, 2 / 3]], 0.778).spec).toBe('mixsga-root:1:0/0.3333:0.6667@1,3=0.778');
    expect(experts!.withRatios([[0.2, 1e-9]]).spec).toBe('mixsga-root:0.2:0@1,3');
    expect(() => experts!.withRatios([[1, 0], [0, 1]], 0.5)).toThrow('expected ratios that keep 0.5 of the KV cache, as the spec states, got 0.666667');
    expect(() => experts!.withRatios([[1, 0, 0]])).toThrow('expected as many group sizes as ratios, got 3 ratios and 2 sizes');
  });

  const ratio = fc.oneof(fc.nat(20), fc.double({ min: 1e-5, max: 1e3, noNaN: true }).map((x) => Number(x.toPrecision(4))));
  const specs = fc.integer({ min: 1, max: 4 }).chain((experts) => {
    const list = fc.array(ratio, { minLength: experts, maxLength: experts }).filter((ratios) => ratios.some((x) => x > 0));
    const sizes = fc.uniqueArray(fc.constantFrom(1, 2, 3, 4, 8), { minLength: experts, maxLength: experts }).map((all) => all.toSorted((a, b) => a - b));
    return fc.record({ lists: fc.array(list, { minLength: 1, maxLength: 5 }), sizes, isBudgeted: fc.boolean() });
  });

  it('are read back from their canonical text', () => {
    fc.assert(
      fc.property(specs, fc.constantFrom('mixsga', 'mixsga-root'), ({ lists, sizes, isBudgeted }, name) => {
        const plain = `${name}:${lists.map((list) => list.join(':')).join('/')}@${sizes.join(',')}`;
        const budget = Number(parseAttention(plain).kvShare.toFixed(4));
        const variant = parseAttention(isBudgeted ? `${plain}=${budget}` : plain);
        const again = parseAttention(variant.spec);
        expect(again.spec).toBe(variant.spec);
        expect(again.kvShare).toBe(variant.kvShare);
        lists.forEach((_, layer) => expect(again.experts!.ratiosOf(layer)).toEqual(variant.experts!.ratiosOf(layer)));
        const kept = lists.map((_, layer) => variant.experts!.ratiosOf(layer).reduce((sum, x, e) => sum + x / sizes[e]!, 0));
        expect(kept.reduce((a, b) => a + b) / kept.length).toBeCloseTo(variant.kvShare, 9);
        for (const off of [-0.0012, 0.0012]) expect(() => parseAttention(`${plain}=${(budget + off).toFixed(4)}`)).toThrow(ArgumentError);
      }),
    );
  });
});
