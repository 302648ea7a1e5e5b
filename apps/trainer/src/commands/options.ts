import { kvTypes } from '@mixsga/backend';
import { cacheOfFields, type CacheSpec, policyNames } from '@mixsga/kv-cache';
import { InvalidArgumentError, Option } from 'commander';

/** `--kv TYPE`. */
export function kvOption(): Option {
  return new Option('--kv <type>', 'element type of the KV cache').choices(kvTypes).default('f32');
}

/** What keeps a KV cache small, as options have it. */
export interface LimitOptions {
  eviction?: string;
  kvBudget?: string;
  kvPolicy?: string;
}

/** `--eviction SPEC`. @param effect for the help text */
export function evictionOption(effect: string): Option {
  return new Option('--eviction <spec>', `${effect}: none, or a policy with the share of the tokens that stays, such as h2o:0.6 (${policyNames().join(', ')})`);
}

/** `--kv-budget BYTES`. */
export function budgetOption(): Option {
  return new Option('--kv-budget <bytes>', 'bytes that the KV cache of a sequence may hold, or a share of what it would take, such as 25%: the least important tokens are compressed further when it is full');
}

/** `--kv-policy NAME`. */
export function policyOption(): Option {
  const forms = 'with group sizes attention@2,4, and attention:evict where tokens may be evicted at last';
  return new Option('--kv-policy <name>', `which tokens are compressed first: ${policyNames().join(', ')}; ${forms} (default: mean-attention)`);
}

/** The spec that the options ask for; undefined where they ask for none. @throws ArgumentError for what can be none of any model */
export function limitOf({ eviction, kvBudget, kvPolicy }: LimitOptions): CacheSpec | 'none' | undefined {
  return cacheOfFields({ eviction, kvBudget, kvPolicy }, { eviction: '--eviction', kvBudget: '--kv-budget', kvPolicy: '--kv-policy' });
}

/** `--set key=value`, as often as wanted. */
export function settingsOption(): Option {
  return new Option('--set <key=value>', 'change a setting of the configuration; dotted keys, repeatable')
    .argParser((value: string, previous: string[]) => [...previous, value])
    .default([], 'none');
}

/** An argument that is a whole number from 1 on. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

/** Writes to standard output, where results go. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON object on standard output. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}
