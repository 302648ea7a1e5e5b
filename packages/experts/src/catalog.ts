import { ArgumentError } from '@mixsga/backend';
import type { Expert, ExpertFactory, ExpertLayout } from './expert';
import { groupedExpert } from './grouped';
import { kvGroupedExpert } from './kv-grouped';
import { latentExpert } from './latent/latent';

/** The expert types that come with this package. A new one is one file and one line here. */
export const experts = {
  grouped: groupedExpert,
  'kv-grouped': kvGroupedExpert,
  latent: latentExpert,
} satisfies Record<string, ExpertFactory<never>>;

export type ExpertKind = keyof typeof experts;

/** What an expert type of the catalog is made with. */
export type ExpertOptions<Kind extends ExpertKind> = Parameters<(typeof experts)[Kind]>[0];

/**
 * Makes an expert.
 *
 * @param kind a name of the catalog, or a factory of your own
 * @throws ArgumentError on a name that the catalog lacks, or when the options do not fit together
 */
export function createExpert<Kind extends ExpertKind>(kind: Kind, options: ExpertOptions<Kind>): Expert;
export function createExpert<Options extends ExpertLayout>(kind: ExpertFactory<Options>, options: Options): Expert;
export function createExpert(kind: ExpertKind | ExpertFactory<never>, options: unknown): Expert {
  const create = typeof kind === 'function' ? kind : Object.hasOwn(experts, kind) && experts[kind];
  if (create) return create(options as never);
  throw new ArgumentError(`createExpert: expected an expert type of ${Object.keys(experts).join(', ')}, got '${String(kind)}'`);
}
