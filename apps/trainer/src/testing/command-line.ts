import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { SeededRandom } from '@mixsga/backend';

/** The built command line. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export interface Ended {
  /** Exit code, or null when a signal ended it. */
  code: number | null;
  out: string;
  err: string;
}

export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
}

/**
 * Starts the built command line in `cwd`.
 * @param fileLimit largest file it may write, in KiB: where it is reached, writing fails as on a full disk
 */
export function start(cwd: string, args: readonly string[], fileLimit?: number): Running {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run pnpm build first`);
  const command = [process.execPath, CLI, ...args];
  const child =
    fileLimit === undefined
      ? spawn(command[0]!, command.slice(1), { cwd })
      : spawn('bash', ['-c', `ulimit -f ${fileLimit}; exec "$@"`, 'bash', ...command], { cwd });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
  return { child, ended };
}

export function run(cwd: string, args: readonly string[], fileLimit?: number): Promise<Ended> {
  return start(cwd, args, fileLimit).ended;
}

/** Waits until a condition holds; the caller's test has a limit of its own. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Rows of a metrics.jsonl that stand there whole. */
export function metricRows(path: string): Record<string, unknown>[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A text of made-up words that a model of a few thousand parameters can learn something of. */
export async function writeCorpus(folder: string): Promise<string> {
  const random = new SeededRandom(5);
  const words = Array.from({ length: 60 }, () =>
    Array.from({ length: 2 + random.nextInt(6) }, () => 'etaoinshrdlu'[random.nextInt(12)]).join(''),
  );
  let word = 0;
  const text: string[] = [];
  while (text.length < 8000) {
    word = random.next() < 0.7 ? (word * 7 + 3) % words.length : random.nextInt(words.length);
    text.push(words[word]!);
  }
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'corpus.txt');
  await writeFile(path, text.join(' '));
  return path;
}
