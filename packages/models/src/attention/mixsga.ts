import { ArgumentError } from '@mixsga/backend';
import { defaultGroupSizes, kvBudget, normaliseRatios, validateGroupSizes } from '@mixsga/experts';
import { parseCount } from './parse-count';
import type { AttentionKind } from './variant';

const NUMBER = /^-?(\d+\.?\d*|\.\d+)$/;

/** Mixture of weight-shared grouped attention experts (arXiv 2506.13541): each token is routed to a group size. */
export const mixsga: AttentionKind = {
  form: 'mixsga:RATIO:RATIO...[@SIZE,SIZE...]',
  example: 'mixsga:3:1:6',
  description: 'tokens are routed, in these ratios, to experts of group sizes 1, 2, 4, ... or the given ones',
  parse(parameters) {
    const [ratioText = '', sizeText, ...rest] = parameters?.split('@') ?? [];
    const ratios = ratioText.split(':').map((text) => (NUMBER.test(text) ? Number(text) : null));
    const sizes = sizeText?.split(',').map(parseCount) ?? defaultGroupSizes(ratios.length);
    if (parameters === null || rest.length > 0 || !isNumbers(ratios) || !isNumbers(sizes)) return null;
    if (sizes.length !== ratios.length) {
      throw new ArgumentError(
        `mixsga:${parameters}: expected as many group sizes as ratios, got ${ratios.length} ratios and ${sizes.length} sizes`,
      );
    }
    const experts = { ratios: normaliseRatios(ratios), groupSizes: sizes };
    const isDefault = String(sizes) === String(defaultGroupSizes(sizes.length));
    const spec = `mixsga:${ratios.join(':')}${isDefault ? '' : `@${sizes.join(',')}`}`;
    return {
      spec,
      kvBudget: kvBudget(ratios, sizes),
      experts,
      storedKvHeads: (kvHeads) => kvHeads,
      kvSource: (layer) => layer,
      validate: ({ kvHeads }) => validateGroupSizes(sizes, kvHeads),
    };
  },
};

function isNumbers(values: (number | null)[]): values is number[] {
  return !values.includes(null);
}
