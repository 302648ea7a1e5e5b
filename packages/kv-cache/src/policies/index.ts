import { ArgumentError, Registry } from '@mixsga/backend';
import { h2o } from './h2o';
import { meanAttention } from './mean-attention';
import { nacl } from './nacl';
import { oldest } from './oldest';
import type { CachePolicy } from './policy';
import { window } from './window';

/** The policies that come with this package. A new one is one file and one line here. */
export const policies = { h2o, nacl, window, 'mean-attention': meanAttention, oldest } satisfies Record<string, CachePolicy>;

/** Other names of policies: `attention` was that of h2o where tokens are coarsened. */
const aliases: Readonly<Record<string, string>> = { attention: h2o.name };

/** Policies that were removed, and what to do without them. */
const removed: Readonly<Record<string, string>> = {
  margin: 'margin, by how sure routers were, was removed, since it lost more than any other policy (docs/log.md); use mean-attention',
};

const registry = new Registry<CachePolicy>(policies, {
  register: 'registerPolicy',
  fields: { name: 'string', description: 'string', 'draws?': 'boolean', 'accumulate?': 'function', rank: 'function' },
  name: { pattern: /^(?!none$)[a-z][a-z0-9-]*$/, form: 'letters, digits and hyphens, and not none' },
});

/** Names of all policies, those of {@link registerPolicy} included. */
export function policyNames(): string[] {
  return registry.names();
}

/**
 * Makes a policy of your own known by its name, to texts of `CacheSpec` and so to the command line.
 * @throws ArgumentError when its name is not one or another policy's, or it lacks a field
 */
export function registerPolicy(policy: CachePolicy): void {
  const name = (policy as CachePolicy | null | undefined)?.name ?? '';
  if (Object.hasOwn(aliases, name)) throw new ArgumentError(`registerPolicy: expected a name that is free, got ${name}`);
  registry.add(name, policy);
}

/** The policy of a name; null where there is none. @throws ArgumentError for one that was removed */
export function policyNamed(who: string, name: string): CachePolicy | null {
  if (Object.hasOwn(removed, name) && !registry.get(name)) throw new ArgumentError(`${who}: ${removed[name]}`);
  return registry.get(Object.hasOwn(aliases, name) ? aliases[name]! : name) ?? null;
}

/** `; did you mean h2o?` for a slip of the pen. */
export function suggestion(name: string): string {
  return `; ${registry.hint(name, Object.keys(aliases))}`;
}
