import { evictionKinds } from '@mixsga/kv-cache';
import { Option } from 'commander';

/** Eviction policies, for help texts. */
export const evictionExamples = Object.values(evictionKinds).map(({ example }) => example).join(', ');

/** `--set key=value`, as often as wanted. */
export function settingsOption(): Option {
  return new Option('--set <key=value>', 'change a setting of the configuration; dotted keys, repeatable')
    .argParser((value: string, previous: string[]) => [...previous, value])
    .default([], 'none');
}

/** Writes to standard output, where results go. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One JSON object on standard output. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}
