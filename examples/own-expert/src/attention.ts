import { createFormat, defaultGroupSizes, validateGroupSizes } from '@mixsga/experts';
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
  formats: (sizes) => ({
    // A head that has turned with its position is a head still.
    takesRotatedKeys: true,
    grouping: null,
    stored: ({ kvHeads, headDim }) => sizes.map((groupSize) => ({ heads: (2 * kvHeads) / groupSize, headDim })),
    create: ({ kvHeads, headDim }) => sizes.map((groupSize) => createFormat(leadingHead, { kvHeads, headDim, groupSize })),
  }),
  check: (sizes, { kvHeads }) => validateGroupSizes(sizes, kvHeads),
});
