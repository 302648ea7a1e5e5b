import { ArgumentError } from '@mixsga/backend';
import { defaultGroupSizes, kvBudget, normaliseRatios, validateGroupSizes } from '@mixsga/experts';
import { parseCount } from './parse-count';
import type { AttentionKind } from './variant';

const NUMBER = /^-?(\d+\.?\d*|\.\d+)$/;

/** Mixture of weight-shared grouped attention experts (arXiv 2506.13541): each token is routed to a group size. */
export const mixsga = kindOf('mixsga', 'mean', 'tokens are routed, in these ratios, to experts of group sizes 1, 2, 4, ... or the given ones');

/**
 * mixSGA whose experts divide the sum of g heads by √g, not by g, so that the keys and values of every expert have the
 * same scale when the heads are independent. A change of this project to the method (docs/results.md).
 */
export const mixsgaRoot = kindOf('mixsga-root', 'root', 'the same, with the sum of g heads divided by √g in the place of their mean');

function kindOf(name: string, pooling: 'mean' | 'root', description: string): AttentionKind {
  return {
    form: `${name}:RATIO:RATIO...[@SIZE,SIZE...]`,
    example: `${name}:3:1:6`,
    description,
    parse(parameters) {
      const [ratioText = '', sizeText, ...rest] = parameters?.split('@') ?? [];
      const ratios = ratioText.split(':').map((text) => (NUMBER.test(text) ? Number(text) : null));
      const sizes = sizeText?.split(',').map(parseCount) ?? defaultGroupSizes(ratios.length);
      if (parameters === null || rest.length > 0 || !isNumbers(ratios) || !isNumbers(sizes)) return null;
      if (sizes.length !== ratios.length) {
        throw new ArgumentError(
          `${name}:${parameters}: expected as many group sizes as ratios, got ${ratios.length} ratios and ${sizes.length} sizes`,
        );
      }
      const isDefault = String(sizes) === String(defaultGroupSizes(sizes.length));
      return {
        spec: `${name}:${ratios.join(':')}${isDefault ? '' : `@${sizes.join(',')}`}`,
        kvBudget: kvBudget(ratios, sizes),
        experts: { ratios: normaliseRatios(ratios), groupSizes: sizes, pooling },
        storedKvHeads: (kvHeads) => kvHeads,
        kvSource: (layer) => layer,
        validate: ({ kvHeads }) => validateGroupSizes(sizes, kvHeads),
      };
    },
  };
}

function isNumbers(values: (number | null)[]): values is number[] {
  return !values.includes(null);
}
