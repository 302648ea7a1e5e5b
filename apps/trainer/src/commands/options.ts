import { ArgumentError, kvTypes } from '@mixsga/backend';
import { budgetKinds, evictionKinds, parseBudgetPolicy } from '@mixsga/kv-cache';
import { InvalidArgumentError, Option } from 'commander';

/** Eviction policies, for help texts. */
export const evictionExamples = Object.values(evictionKinds).map(({ example }) => example).join(', ');

/** Policies of a KV budget, for help texts. */
const budgetExamples = `${Object.keys(budgetKinds).join(', ')}; with group sizes attention@2,4, and attention:evict where tokens may go at last`;

/** `--kv TYPE`. */
export function kvOption(): Option {
  return new Option('--kv <type>', 'element type of the KV cache').choices(kvTypes).default('f32');
}

/** `--kv-budget BYTES`. */
export function budgetOption(): Option {
  return new Option('--kv-budget <bytes>', 'bytes that the KV cache of a sequence may hold: the least important tokens are compressed further when it is full').argParser(Number);
}

/** `--kv-policy NAME`. */
export function policyOption(): Option {
  return new Option('--kv-policy <name>', `which tokens are compressed first: ${budgetExamples} (default: mean-attention)`);
}

export interface BudgetOptions {
  kvBudget?: number;
  kvPolicy?: string;
}

/** @throws ArgumentError for what can be no budget of any model */
export function checkBudget({ kvBudget, kvPolicy, eviction }: BudgetOptions & { eviction?: string }): void {
  if (kvBudget !== undefined && !(Number.isSafeInteger(kvBudget) && kvBudget > 0)) {
    throw new ArgumentError(`--kv-budget: expected a whole number of bytes from 1, got ${kvBudget}`);
  }
  if (kvPolicy !== undefined) parseBudgetPolicy(kvPolicy);
  if (kvPolicy !== undefined && kvBudget === undefined) throw new ArgumentError('--kv-policy: expected --kv-budget with it, the bytes that it divides');
  if (kvBudget !== undefined && eviction !== undefined && eviction !== 'none') {
    throw new ArgumentError(`--kv-budget: expected no --eviction beside it, got ${eviction}; a policy such as attention:evict evicts`);
  }
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
