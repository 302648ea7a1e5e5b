import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { MixsgaError } from '@mixsga/backend';

import type { Slice } from '../contender';
import type { TrainContender } from './contender';
import type { TrainShape } from './shape';

const SCRIPT = join('tools', 'bench_train.py');

/**
 * PyTorch eager in a process of its own, one thread, on the same shape.
 *
 * @param python command or path of a Python that has torch
 * @throws MixsgaError that says in a line why it cannot run: no Python, no torch, no script
 */
export async function torchContender(python: string, shape: TrainShape): Promise<TrainContender> {
  const script = findScript();
  if (script === undefined) throw new MixsgaError(`${SCRIPT} is not there; run this from a clone of the repository`);
  const child = spawn(python, [script, JSON.stringify(shape)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ask = asker(child, python);
  const { torch, blas, threads } = (await ask()) as { torch: string; blas: string; threads: number };
  return {
    label: 'torch mha',
    backend: 'torch',
    attention: 'mha',
    threads,
    detail: `PyTorch ${torch} eager, ${blas}`,
    run: async (seconds) => (await ask(`${seconds}\n`)) as Slice,
    dispose: () => child.stdin.end(),
  };
}

/** Writes a line to the process, if any, and gives the next JSON line that it writes. */
function asker(child: ChildProcessWithoutNullStreams, python: string): (line?: string) => Promise<unknown> {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let lastError = '';
  let failure = '';
  createInterface({ input: child.stderr }).on('line', (line) => (lastError = line.trim() || lastError));
  child.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code === 'ENOENT' ? `${python} is not installed` : error.message;
  });
  child.stdin.on('error', () => {}); // the process is gone: the next read says why
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  return async (line) => {
    if (line !== undefined) child.stdin.write(line);
    const { value, done } = await lines.next();
    if (!done) return JSON.parse(value);
    await closed;
    if (/No module named '?torch/.test(lastError)) failure = `${python} has no torch`;
    throw new MixsgaError(failure ? `${failure}; --python names another` : `${python}: ${lastError || 'it ended without an answer'}`);
  };
}

/** tools/bench_train.py of the repository that this file is in, whether it is run from sources or from a build. */
function findScript(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (folder !== dirname(folder)) {
    const path = join(folder, SCRIPT);
    if (existsSync(path)) return path;
    folder = dirname(folder);
  }
  return undefined;
}
