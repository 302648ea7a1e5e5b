import { ArgumentError } from '@mixsga/backend';
import type { Expert, ExpertFactory, ExpertOptions } from './expert';
import { groupedExpert } from './grouped';

/** The expert types that come with this package. A new one is one file and one line here. */
export const experts = {
  grouped: groupedExpert,
} satisfies Record<string, ExpertFactory>;

export type ExpertKind = keyof typeof experts;

/**
 * Makes an expert.
 *
 * @param kind a name of the catalog, or a factory of your own
 * @throws ArgumentError on a name that the catalog lacks, or when the options do not fit together
 */
export function createExpert(kind: ExpertKind | ExpertFactory, options: ExpertOptions): Expert {
  if (typeof kind === 'function') return kind(options);
  if (!Object.hasOwn(experts, kind)) {
    throw new ArgumentError(
      `createExpert: expected an expert type of ${Object.keys(experts).join(', ')}, got '${String(kind)}'`,
    );
  }
  return experts[kind](options);
}
