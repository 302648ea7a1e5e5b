import { ArgumentError } from '@mixsga/backend';
import { cla } from './cla';
import { gqa } from './gqa';
import { mha } from './mha';
import { mixsga, mixsgaRoot } from './mixsga';
import type { AttentionKind, AttentionVariant } from './variant';

/** The attention variants. A new one is one file and one line here. */
export const attentionKinds = { mha, gqa, cla, mixsga, 'mixsga-root': mixsgaRoot } satisfies Record<string, AttentionKind>;

/**
 * Reads the text of an attention variant: `mha`, `gqa:2`, `cla:2`, `mixsga:3:1:6` (group sizes 1, 2, 4),
 * `mixsga:3:1:6@1,2,4`, or with the ratios of each layer and the budget that they keep, `mixsga:1:0:0/0:1:0=0.75`.
 * @throws ArgumentError when the text is none of them, its ratios are negative, all zero or of the wrong count, or they miss
 *   the stated budget by more than 0.001
 */
export function parseAttention(spec: string): AttentionVariant {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const kind: AttentionKind | undefined = Object.entries(attentionKinds).find(([key]) => key === name)?.[1];
  const variant = kind?.parse(colon < 0 ? null : spec.slice(colon + 1));
  if (variant) return variant;
  const forms = (kind ? [kind] : Object.values(attentionKinds)).map(({ form, example }) =>
    form === example ? form : `${form} (such as ${example})`,
  );
  throw new ArgumentError(`attention: expected ${forms.join(', ')}, got ${JSON.stringify(spec)}`);
}
