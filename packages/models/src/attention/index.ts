import { ArgumentError } from '@mixsga/backend';
import { cla } from './cla';
import { gqa } from './gqa';
import { latent } from './latent';
import { mha } from './mha';
import { mixsga, mixsgaRoot } from './mixsga';
import type { AttentionKind, AttentionVariant } from './variant';

/** The attention variants that come with this package. A new one is one file and one line here. */
export const attentionKinds = { mha, gqa, cla, mixsga, 'mixsga-root': mixsgaRoot, latent } satisfies Record<string, AttentionKind>;

const kinds = new Map<string, AttentionKind>(Object.entries(attentionKinds));

/** Kinds of all attention variants by name, those of {@link registerAttention} included. */
export function knownAttention(): ReadonlyMap<string, AttentionKind> {
  return kinds;
}

/**
 * Makes a kind of your own known to everything that reads specs, configurations of checkpoints included.
 * @param name letters, digits and hyphens
 * @throws ArgumentError when the name is none, or another kind's
 */
export function registerAttention(name: string, kind: AttentionKind): void {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new ArgumentError(`registerAttention: expected a name of letters, digits and hyphens, got ${JSON.stringify(name)}`);
  if (kinds.has(name) && kinds.get(name) !== kind) throw new ArgumentError(`registerAttention: expected a name that is free, got ${name}`);
  kinds.set(name, kind);
}

/**
 * Reads the text of an attention variant: `mha`, `gqa:2`, `cla:2`, `mixsga:3:1:6` (group sizes 1, 2, 4),
 * `mixsga:3:1:6@1,2,4`, with keys and values in different groups `gqa:k4v2`, with latents `latent:1@4` or `latent:3:1:6@4,8,16`, or with the
 * ratios of each layer and the budget that they keep, `mixsga:1:0:0/0:1:0=0.75`.
 * @throws ArgumentError when the text is none of them, its ratios are negative, all zero or of the wrong count, or they miss
 *   the stated budget by more than 0.001
 */
export function parseAttention(spec: string): AttentionVariant {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const kind = kinds.get(name);
  const variant = kind?.parse(colon < 0 ? null : spec.slice(colon + 1));
  if (variant) return variant;
  const forms = (kind ? [kind] : [...kinds.values()]).map(({ form, example }) =>
    form === example ? form : `${form} (such as ${example})`,
  );
  throw new ArgumentError(`attention: expected ${forms.join(', ')}, got ${JSON.stringify(spec)}`);
}
