import { ArgumentError } from '@mixsga/backend';
import { closest, distance } from 'fastest-levenshtein';
import { h2o } from './h2o';
import { nacl } from './nacl';
import { none } from './none';
import type { EvictionFactory, EvictionKind } from './policy';
import { window } from './window';

/** The eviction policies. A new one is one file and one line here. */
export const evictionKinds = { none, h2o, nacl, window } satisfies Record<string, EvictionKind>;

/**
 * Reads the text of an eviction policy: `none`, `h2o:0.6`, `nacl:0.6`, `window:0.6`.
 * @throws ArgumentError when the text is none of them
 */
export function parseEviction(spec: string): EvictionFactory {
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const kind: EvictionKind | undefined = Object.entries(evictionKinds).find(([key]) => key === name)?.[1];
  const factory = kind?.parse(colon < 0 ? null : spec.slice(colon + 1));
  if (factory) return factory;
  throw new ArgumentError(`eviction: expected ${kind ? formOf(kind) : formsLike(name)}, got ${JSON.stringify(spec)}`);
}

function formOf({ form, example }: EvictionKind): string {
  return form === example ? form : `${form} with R above 0 and at most 1 (such as ${example})`;
}

function formsLike(name: string): string {
  const nearest = closest(name, Object.keys(evictionKinds));
  const forms = Object.values(evictionKinds).map(({ example }) => example);
  return forms.join(', ') + (distance(name, nearest) < name.length / 2 ? ` (did you mean ${nearest}?)` : '');
}
