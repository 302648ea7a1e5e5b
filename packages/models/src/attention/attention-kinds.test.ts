import { startBackend } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';
import { attentionKindChecks } from '../testing/attention-kind-checks';
import { attentionKinds, registerAttention } from './index';
import type { AttentionKind, AttentionVariant } from './variant';

beforeAll(() => startBackend('cpu'));

describe.each([...Object.values(attentionKinds).map(({ example }) => example), 'gqa:k4v2', 'mixsga:1:1/1:1/3:1/0:1', 'latent:3:1:6@4,8,16'])('%s', (spec) => {
  it.each(attentionKindChecks)('$name', ({ run }) => run(spec));
});

/** GQA with something wrong. */
const wrong: Readonly<Record<string, [change: (right: AttentionVariant) => Partial<AttentionVariant>, message: RegExp]>> = {
  'own-text': [() => ({ spec: 'gqa:4' }), /expected its share to be 0\.25, got 0\.5|expected the text|expected its share/],
  'own-share': [() => ({ kvShare: 0.25 }), /expected kvShare near 0\.5, which is stored, got 0\.25$/],
  'own-late': [() => ({ kvSource: () => 3 }), /expected a layer up to 0 as the source of 0, got 3$/],
  'own-chain': [() => ({ kvSource: (layer: number) => Math.max(0, layer - 1) }), /expected the source of layer 1 to be 1, got 0$/],
  'own-rotary': [({ formats }) => ({ formats: { ...formats, takesRotatedKeys: false } }), /expected an ArgumentError for a model that rotates keys$/],
  'own-stored': [({ formats }) => ({ formats: { ...formats, stored: ({ kvHeads, headDim }) => formats.stored({ kvHeads: kvHeads / 2, headDim }) } }), /expected the layout|expected heads of grouped:1 to be 4, got 8$/],
  'own-many': [({ formats }) => ({ formats: { ...formats, stored: (layout) => [...formats.stored(layout), ...formats.stored(layout)] } }), /expected formats to be 1, got 2$/],
};

it.each(Object.entries(wrong))('finds what is wrong with %s', async (name, [change, message]) => {
  const right = attentionKinds.gqa;
  const kind: AttentionKind = {
    ...right,
    parse(parameters) {
      const variant = right.parse(parameters);
      return variant && { ...variant, spec: `${name}:${parameters}`, ...change(variant) };
    },
  };
  registerAttention(name, kind);
  const results = await Promise.all(attentionKindChecks.map(({ run }) => run(`${name}:2`).then(() => 'passed', (error: Error) => error.message)));
  expect(results.some((result) => message.test(result)), results.join('\n')).toBe(true);
});
