import { ArgumentError, expectOptions, storedBits, type KvType, type OptionNames } from '@mixsga/backend';
import { expertBits } from './expert-index';
import { ENTRY_BYTES } from './layers/slot-entries';
import type { StoredEntry } from './layout';

export interface KvLayout {
  /** Layers that store keys and values of their own. */
  readonly layers: number;
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Group size of each expert; each divides `kvHeads`. One expert of size g is GQA, of size 1 the unmodified model. */
  readonly groupSizes: readonly number[];
  /** What each expert stores of a token, keys and values together, instead of the heads of its group size. */
  readonly entries?: readonly StoredEntry[];
  /** Share of the tokens that each expert stores; need not sum to 1. */
  readonly ratios: readonly number[];
  /** Element type of keys and values. Default f32, as in the paper. */
  readonly type?: KvType;
  /** Whether each token's position and score are kept instead of the index, as under a policy. Default false. */
  readonly positions?: boolean;
}

const LAYOUT: OptionNames<KvLayout> = { layers: true, kvHeads: true, headDim: true, groupSizes: true, entries: { heads: true, headDim: true, packing: true }, ratios: true, type: true, positions: true };

/**
 * Bytes of KV cache for a token, over all layers, as the paper's Table 9 counts them: keys and values at
 * Σ ρ_e / g_e of the unmodified size, with int8 their scales too, rounded to a byte, and ⌈log2 E⌉ bits of expert index a
 * layer, the layers' bits together rounded down to whole bytes; or with `positions` 8 bytes a layer.
 *
 * @throws ArgumentError when a count is not a whole number from 1, a group size does not divide the KV heads, or the
 *   ratios are not as many, negative, not finite, or all zero
 */
export function kvBytesPerToken(layout: KvLayout): number {
  expectOptions('kvBytesPerToken', layout, LAYOUT);
  const { layers, kvHeads, headDim, groupSizes, entries, ratios, type = 'f32', positions = false } = layout;
  for (const [name, count] of Object.entries({ layers, kvHeads, headDim })) {
    if (!Number.isInteger(count) || count < 1) {
      throw new ArgumentError(`kvBytesPerToken: expected ${name} to be a whole number from 1, got ${count}`);
    }
  }
  if (groupSizes.length === 0 || groupSizes.some((size) => !Number.isInteger(size) || size < 1 || kvHeads % size !== 0)) {
    throw new ArgumentError(
      `kvBytesPerToken: expected group sizes that divide ${kvHeads} KV heads, got ${groupSizes.join(', ') || 'none'}`,
    );
  }
  const asked = ratios.reduce((a, b) => a + b, 0);
  if (ratios.length !== groupSizes.length || ratios.some((ratio) => !(ratio >= 0)) || !(asked > 0 && asked < Infinity)) {
    throw new ArgumentError(
      `kvBytesPerToken: expected ${groupSizes.length} ratios of 0 or more, not all 0, got ${ratios.join(':') || 'none'}`,
    );
  }
  const stored = entries ?? groupSizes.map((size) => ({ heads: (2 * kvHeads) / size, headDim }));
  const values = (layers * ratios.reduce((sum, ratio, expert) => sum + (ratio * storedBits(stored[expert]!, type)) / 8, 0)) / asked;
  return Math.round(values) + (positions ? layers * ENTRY_BYTES : Math.floor((layers * expertBits(groupSizes.length)) / 8));
}
