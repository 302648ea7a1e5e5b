import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import { expertBits } from './expert-index';
import { ENTRY_BYTES } from './layers/slot-entries';
import { bytesOf, checkLayout, type CacheLayout } from './layout';

export interface KvLayout extends Pick<CacheLayout, 'layers' | 'formats' | 'type'> {
  /** Share of the tokens that each format stores; need not sum to 1. */
  readonly ratios: readonly number[];
  /** Whether each token's position and score are kept instead of the index, as under a policy. Default false. */
  readonly positions?: boolean;
}

const LAYOUT: OptionNames<KvLayout> = { layers: true, formats: true, ratios: true, type: true, positions: true };

/**
 * Bytes of KV cache for a token, over all layers, as the paper's Table 9 counts them: the mean of what the formats store of it, with int8 its
 * scales too, rounded to a byte, and ⌈log2 E⌉ bits of expert index a layer, the layers' bits together rounded down to whole bytes; or with
 * `positions` 8 bytes a layer.
 *
 * @throws ArgumentError when a count is not a whole number from 1, the formats are not those of one layer, or the
 *   ratios are not as many, negative, not finite, or all zero
 */
export function kvBytesPerToken(layout: KvLayout): number {
  expectOptions('kvBytesPerToken', layout, LAYOUT);
  checkLayout('kvBytesPerToken', layout);
  const { layers, formats, ratios, type = 'f32', positions = false } = layout;
  const asked = ratios.reduce((a, b) => a + b, 0);
  if (ratios.length !== formats.length || ratios.some((ratio) => !(ratio >= 0)) || !(asked > 0 && asked < Infinity)) {
    throw new ArgumentError(
      `kvBytesPerToken: expected ${formats.length} ratios of 0 or more, not all 0, got ${ratios.join(':') || 'none'}`,
    );
  }
  const stored = (layers * ratios.reduce((sum, ratio, expert) => sum + ratio * bytesOf(formats[expert]!, type), 0)) / asked;
  return Math.round(stored) + (positions ? layers * ENTRY_BYTES : Math.floor((layers * expertBits(formats.length)) / 8));
}
