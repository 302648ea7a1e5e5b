import { createFormat, defaultGroupSizes, type FormatLayout, validateGroupSizes } from '@mixsga/experts';
import { mixtureKind } from '@mixsga/models';
import { leadingHead } from './leading-head';

/** `leading:3:1:6`, `leading:1@4` and the like, for `registerAttention`. */
export const leading = mixtureKind<number>({
  name: 'leading',
  description: 'the first of each run of SIZE KV heads is stored',
  example: '3:1:6',
  parseSize: (text) => (/^[1-9]\d*$/.test(text) ? Number(text) : null),
  formatSize: String,
  defaultSizes: defaultGroupSizes,
  compression: (groupSize) => groupSize,
  formats(sizes) {
    const create = ({ kvHeads, headDim }: FormatLayout) => sizes.map((groupSize) => createFormat(leadingHead, { kvHeads, headDim, groupSize }));
    // A rotated head is a head still.
    return { takesRotatedKeys: true, grouping: null, stored: create, create };
  },
  check: (sizes, { kvHeads }) => validateGroupSizes(sizes, kvHeads),
});
