/**
 * The conformance suite of kinds of attention: run every check of {@link attentionKindChecks} in any test runner. A check rejects with an Error that says
 * what does not hold. What its formats compute is the business of `formatChecks` of `@mixsga/experts/testing`.
 */
import { ArgumentError, SeededRandom, storedBits } from '@mixsga/backend';
import type { FormatLayout } from '@mixsga/experts';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { parseAttention } from '../attention/index';
import { type AttentionShape, type AttentionVariant, formatLayout, storingLayers } from '../attention/variant';
import { expectSame, expectThat, thrownBy } from './expectations';

export interface AttentionKindCheck {
  readonly name: string;
  /** Runs on the active tfjs backend. @param spec of a kind that is registered, for a model of 4 layers with 8 KV heads of 16 */
  run(spec: string): Promise<void>;
}

const MODEL: AttentionShape = { layers: 4, kvHeads: 8, headDim: 16, rotary: false };
/** What scales and headers may add to the share that a spec tells, where formats pack their own bits. */
const SCALES = 1 / 8;
/** As much as dimensions that have to be whole. */
const ROUNDING = 1e-2;
const INPUTS = 96;

export const attentionKindChecks: readonly AttentionKindCheck[] = [
  check('reads the text that it writes, as the same variant', (variant, spec) => {
    const again = parseAttention(variant.spec);
    expectSame(`the text of ${spec}`, again.spec, variant.spec);
    expectSame('its share', again.kvShare, variant.kvShare);
    expectSame('its ratios', again.experts?.ratios, variant.experts?.ratios);
    const name = variant.spec.split(':')[0]!;
    const wrong = thrownBy(() => parseAttention(`${name}:nonsense!`));
    expectThat(`an ArgumentError for ${name}:nonsense!`, ArgumentError.isInstance(wrong));
  }),

  check('takes rotated keys, or refuses models that rotate them', (variant) => {
    variant.validate(MODEL);
    const refused = thrownBy(() => variant.validate({ ...MODEL, rotary: true }));
    const { takesRotatedKeys } = variant.formats;
    expectThat(takesRotatedKeys ? 'a model that rotates keys to be fine' : 'an ArgumentError for a model that rotates keys', takesRotatedKeys ? refused === null : ArgumentError.isInstance(refused));
  }),

  check('routes to as many experts as it has formats, at ratios of sum 1', ({ experts, formats, spec }) => {
    const stored = formats.stored(formatLayout(parseAttention(spec), MODEL));
    expectSame('formats', stored.length, experts?.ratios.length ?? 1);
    if (!experts) return;
    expectSame('sizes', experts.sizes.length, stored.length);
    for (let layer = 0; layer < MODEL.layers; layer++) {
      const sum = experts.ratiosOf(layer).reduce((a, b) => a + b);
      expectThat(`ratios of sum 1 in layer ${layer}, got ${sum}`, Math.abs(sum - 1) < 1e-6);
    }
    const byLayer = Array.from({ length: MODEL.layers }, () => stored.map((_, expert) => Number(expert === 0)));
    expectSame('all tokens at the finest', experts.withRatios(byLayer).experts?.ratios, byLayer[0]);
  }),

  check('attends in each layer to one that stores, itself or an earlier one', ({ kvSource }) => {
    for (let layer = 0; layer < MODEL.layers; layer++) {
      const source = kvSource(layer);
      expectThat(`a layer up to ${layer} as the source of ${layer}, got ${source}`, Number.isInteger(source) && source >= 0 && source <= layer);
      expectSame(`the source of layer ${source}`, kvSource(source), source);
    }
  }),

  check('stores the share that its text tells', (variant) => {
    const formats = variant.formats.stored(formatLayout(variant, MODEL)).map(({ stored }) => stored);
    const ratios = variant.experts?.ratios ?? [1];
    const full = storedBits({ heads: 2 * MODEL.kvHeads, headDim: MODEL.headDim }, 'f32');
    const bits = formats.reduce((sum, stored, expert) => sum + ratios[expert]! * storedBits(stored, 'f32'), 0);
    const share = (bits / full) * (storingLayers(MODEL.layers, variant).length / MODEL.layers);
    const above = formats.some(({ packing }) => packing) ? SCALES : ROUNDING;
    const told = variant.kvShare;
    expectThat(`kvShare near ${share}, which is stored, got ${told}`, told > 0 && share >= told - ROUNDING && share <= told + above);
  }),

  check('makes the formats that it says are stored', (variant) => {
    const layout = formatLayout(variant, MODEL);
    const constants = constantsOf(variant, layout);
    const told = variant.formats.stored(layout);
    const made = variant.formats.create(layout, constants);
    expectSame('formats', made.map(({ name }) => name), told.map(({ name }) => name));
    made.forEach(({ stored, kvHeads, headDim, name }, expert) => {
      expectSame(`the layout of ${name}`, { kvHeads, headDim }, layout);
      for (const field of ['heads', 'headDim'] as const) expectSame(`${field} of ${name}`, stored[field], told[expert]!.stored[field]);
      expectSame(`packed bytes of ${name}`, stored.packing?.bytes, told[expert]!.stored.packing?.bytes);
    });
    tf.dispose([...constants.values()]);
  }),
];

function check(name: string, verify: (variant: AttentionVariant, spec: string) => Promise<void> | void): AttentionKindCheck {
  return {
    name,
    async run(spec) {
      try {
        await verify(parseAttention(spec), spec);
      } catch (error) {
        throw new Error(`attention check '${name}' of ${spec}: ${(error as Error).message}`, { cause: error });
      }
    },
  };
}

/** Those of a layer with random weights. */
function constantsOf({ formats: { constants } }: AttentionVariant, layout: FormatLayout): Map<string, Tensor> {
  if (!constants) return new Map();
  const rows = layout.kvHeads * layout.headDim;
  const projection = (stream: number) => {
    const random = new SeededRandom(3, stream);
    return { weight: Float32Array.from({ length: rows * INPUTS }, () => random.normal()), bias: null };
  };
  const values = constants.fit({ k: projection(0), v: projection(1), gain: null, inputs: INPUTS }, layout);
  constants.check(values, layout);
  const shapes = [...constants.shapes(layout)];
  expectSame('constants', [...values.keys()].sort(), shapes.map(([name]) => name).sort());
  return new Map(shapes.map(([name, shape]) => [name, tf.tensor(values.get(name)!, shape)]));
}
