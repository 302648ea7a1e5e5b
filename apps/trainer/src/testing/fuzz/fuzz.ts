import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ArgumentError, BackendError, FileError } from '@mixsga/backend';

import { Mutator } from './mutator';
import { Watchdog } from './watchdog';

/** What reads a kind of file that others made. */
export interface Reader {
  readonly name: string;
  /** A file that was sound until it was changed. */
  make(mutator: Mutator): Uint8Array;
  /** Reads all of it. Whatever the bytes: ends soon, in little memory, with a value or an error of the project. */
  read(bytes: Uint8Array): unknown;
}

export interface Found {
  readonly refused: number;
  readonly read: number;
  /** Of the first few files that gave another error or took too much memory. */
  readonly faults: readonly string[];
}

const SLACK = 100 * 2 ** 20;
const MOST_FAULTS = 20;

/** Reads `count` changed files. One that does not end ends the process: see {@link Watchdog}. */
export async function fuzz({ name, make, read }: Reader, count: number, seed: number): Promise<Found> {
  const mutator = new Mutator(seed);
  const watchdog = new Watchdog(`${name} seed ${seed}`);
  const faults: string[] = [];
  let refused = 0;
  try {
    for (let i = 0; i < count && faults.length < MOST_FAULTS; i++) {
      const bytes = make(mutator);
      const before = held();
      const fault = (problem: string) => faults.push(`${name}: file ${i} of seed ${seed}: ${problem}; saved as ${saved(name, seed, i, bytes)}`);
      try {
        await watchdog.watch(i, bytes, async () => read(bytes));
      } catch (error) {
        refused++;
        const isOwn = FileError.isInstance(error) || ArgumentError.isInstance(error) || BackendError.isInstance(error);
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        if (!isOwn) fault(`another error: ${text.split('\n').slice(0, 4).join(' | ')}`);
        else if (error.message.includes('\n')) fault(`more than one line: ${JSON.stringify(error.message.slice(0, 300))}`);
      }
      const taken = held() - before;
      if (taken > 4 * bytes.length + SLACK) fault(`${bytes.length} bytes take ${taken}`);
    }
  } finally {
    await watchdog.end();
  }
  return { refused, read: count - refused, faults };
}

/** Bytes of memory, garbage among them: what was taken and let go counts until it is collected. */
function held(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function saved(name: string, seed: number, number: number, bytes: Uint8Array): string {
  const folder = join(tmpdir(), 'mixsga-fuzz');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name.replace(/\W+/g, '-')}-${seed}-${number}`);
  writeFileSync(path, bytes);
  return path;
}
