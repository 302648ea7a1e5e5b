import { ArgumentError, storedLatent } from '@mixsga/backend';
import { checkLatentBasis, createFormat, fitLatentBasis, type FormatLayout, type LatentBasis } from '@mixsga/experts';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { mixtureKind, parseNumber } from './mixture';
import type { LayerConstants, LayerFormats } from './variant';

/** Of the constants in a checkpoint. */
const NAMES = { weight: 'kv_basis.weight', bias: 'kv_basis.bias', scale: 'kv_basis.scale' } as const;

/**
 * Keys and values of a token as one latent of few dimensions in a fixed basis of the layer (multi-head latent attention, DeepSeek-V2, arXiv
 * 2405.04434), with several ranks among which tokens are routed. A size is how many times fewer numbers a latent has.
 */
export const latent = mixtureKind<number>({
  name: 'latent',
  description: 'keys and values become a latent of SIZE times fewer numbers; with more sizes than one tokens are routed, in these ratios',
  example: '1@4',
  parseSize: parseNumber,
  formatSize: String,
  defaultSizes: () => null,
  compression: (size) => size,
  formats: latentFormats,
  check(sizes, layout) {
    const ranks = sizes.map((size) => rankOf(size, layout));
    if (ranks.every((rank, i) => rank >= 1 && rank < (ranks[i - 1] ?? Infinity))) return;
    const numbers = 2 * layout.kvHeads * layout.headDim;
    throw new ArgumentError(`latent: expected sizes that leave fewer and fewer of the ${numbers} numbers of a token, got ${sizes.join(',')}, which leave ${ranks.join(', ')}`);
  },
});

/** Numbers that are left of the keys and values of a token. */
function rankOf(size: number, { kvHeads, headDim }: FormatLayout): number {
  return Math.round((2 * kvHeads * headDim) / size);
}

function latentFormats(sizes: readonly number[]): LayerFormats {
  const finest = Math.min(...sizes);
  const constants: LayerConstants = {
    shapes(layout) {
      const rows = 2 * layout.kvHeads * layout.headDim;
      return new Map([[NAMES.weight, [rows, rankOf(finest, layout)]], [NAMES.bias, [rows]], [NAMES.scale, [rows]]]);
    },
    fit(layer, layout) {
      const basis = fitLatentBasis({ ...layer, rank: rankOf(finest, layout) });
      return new Map([[NAMES.weight, basis.weight], [NAMES.bias, basis.bias], [NAMES.scale, basis.scale]]);
    },
    check(values, layout) {
      const [weight, bias, scale] = Object.values(NAMES).map((name) => values.get(name)!);
      checkLatentBasis({ weight: weight!, bias: bias!, scale: scale! }, rankOf(finest, layout));
    },
  };
  return {
    takesRotatedKeys: false,
    grouping: null,
    constants,
    stored: (layout) => sizes.map((size) => storedLatent({ kvHeads: layout.kvHeads, headDim: layout.headDim, rank: rankOf(size, layout) })),
    create(layout, values) {
      const basis: LatentBasis = {
        weight: values.get(NAMES.weight) as Tensor2D, bias: values.get(NAMES.bias) as Tensor1D, scale: values.get(NAMES.scale) as Tensor1D,
      };
      return sizes.map((size) => createFormat('latent', { kvHeads: layout.kvHeads, headDim: layout.headDim, rank: rankOf(size, layout), basis }));
    },
  };
}
