import { ArgumentError, expectFields, type FieldTypes, Registry } from '@mixsga/backend';
import { cla } from './cla';
import { gqa } from './gqa';
import { latent } from './latent';
import { mha } from './mha';
import { mixsga, mixsgaRoot } from './mixsga';
import type { AttentionKind, AttentionVariant } from './variant';

/** The attention variants that come with this package. A new one is one file and one line here. */
export const attentionKinds = { mha, gqa, cla, mixsga, 'mixsga-root': mixsgaRoot, latent } satisfies Record<string, AttentionKind>;

const kinds = new Registry<AttentionKind>(attentionKinds, {
  register: 'registerAttention',
  fields: { form: 'string', example: 'string', description: 'string', parse: 'function' },
});

const VARIANT: FieldTypes<AttentionVariant> = {
  spec: 'string',
  kvShare: 'number',
  'experts?': { ratios: 'list', ratiosOf: 'function', withRatios: 'function', sizes: 'list' },
  formats: {
    takesRotatedKeys: 'boolean',
    'grouping?': { groupSizes: 'list', pooling: 'string' },
    stored: 'function',
    'constants?': { shapes: 'function', fit: 'function', check: 'function' },
    create: 'function',
  },
  storedKvHeads: 'function',
  kvSource: 'function',
  validate: 'function',
};

/** Kinds of all attention variants by name, those of {@link registerAttention} included. */
export function knownAttention(): ReadonlyMap<string, AttentionKind> {
  return kinds.all();
}

/**
 * Makes a kind of your own known to everything that reads specs, configurations of checkpoints included.
 * @param name letters, digits and hyphens
 * @throws ArgumentError when the name is none or another kind's, the kind lacks a field, or it does not read its own example
 */
export function registerAttention(name: string, kind: AttentionKind): void {
  kinds.add(name, kind, (who) => {
    const variant: unknown = kind.parse(splitSpec(kind.example).parameters);
    if (typeof variant !== 'object' || variant === null) throw new ArgumentError(`${who}: expected parse to read its example ${JSON.stringify(kind.example)}, got ${String(variant)}`);
    expectFields(`${who}: ${kind.example}`, variant as AttentionVariant, VARIANT);
  });
}

/**
 * Reads the text of an attention variant: `mha`, `gqa:2`, `cla:2`, `mixsga:3:1:6` (group sizes 1, 2, 4),
 * `mixsga:3:1:6@1,2,4`, with keys and values in different groups `gqa:k4v2`, with latents `latent:1@4` or `latent:3:1:6@4,8,16`, or with the
 * ratios of each layer and the budget that they keep, `mixsga:1:0:0/0:1:0=0.75`.
 * @throws ArgumentError when the text is none of them, its ratios are negative, all zero or of the wrong count, or they miss
 *   the stated budget by more than 0.001
 */
export function parseAttention(spec: string): AttentionVariant {
  const { name, parameters } = splitSpec(spec);
  const kind = kinds.get(name);
  const variant = kind?.parse(parameters);
  if (variant) return variant;
  const forms = (kind ? [kind] : [...kinds.all().values()]).map(({ form, example }) =>
    form === example ? form : `${form} (such as ${example})`,
  );
  throw new ArgumentError(`attention: expected ${forms.join(', ')}, got ${JSON.stringify(spec)}${kind ? '' : `; ${kinds.hint(name)}`}`);
}

function splitSpec(spec: string): { name: string; parameters: string | null } {
  const colon = spec.indexOf(':');
  return colon < 0 ? { name: spec, parameters: null } : { name: spec.slice(0, colon), parameters: spec.slice(colon + 1) };
}
