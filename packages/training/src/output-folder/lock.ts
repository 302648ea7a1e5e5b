import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';

import { expectOptions, FileError } from '@mixsga/backend';
import { orFileError, stateOf } from '@mixsga/models';

import { Interrupted } from '../process/interruption';
import { type HeldLock, LOCK_FILE, type Refusal, tryLock, UnreadableLock } from './lock-file';

/** Between two signs of life. */
const HEARTBEAT = 20_000;
/** Between two attempts to get a lock that is waited for. */
const PAUSE = 100;
/** How long the runs of an experiment that was killed are waited for, which save and end by themselves. */
export const ORPHAN_PATIENCE = 30_000;

export interface LockOptions {
  /** How long to wait for a process that has the folder, in ms. Default: not at all. */
  readonly patience?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `body` as the only process that writes in an output folder. The folder is made when there is none, and removed again when
 * nothing was written. The lock of a process that was killed is taken over.
 *
 * @throws FileError when another process has the folder, saying which, since when and what to do; or it cannot be written
 * @throws Interrupted when the signal aborts while it waits
 */
export async function withOutputFolder<T>(folder: string, body: () => Promise<T>, options: LockOptions = {}): Promise<T> {
  expectOptions('withOutputFolder', options, { patience: true, signal: true });
  const lock = await orFileError(folder, 'write', () => take(folder, options));
  const release = (): void => lock.release();
  process.once('exit', release); // a second Ctrl-C ends the process without unwinding
  const heartbeat = setInterval(() => beat(lock.path), HEARTBEAT).unref();
  try {
    return await body();
  } finally {
    clearInterval(heartbeat);
    process.off('exit', release);
    release();
  }
}

async function take(folder: string, { patience = 0, signal }: LockOptions): Promise<HeldLock> {
  const end = performance.now() + patience;
  for (;;) {
    const lock = attempt(folder);
    if ('release' in lock) return lock;
    if (performance.now() >= end) throw new FileError(folder, inUse(folder, lock));
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    if (signal?.aborted) throw new Interrupted('stopped before it began');
  }
}

function attempt(folder: string): ReturnType<typeof tryLock> {
  try {
    return tryLock(folder);
  } catch (error) {
    if (!(error instanceof UnreadableLock)) throw error;
    throw new FileError(join(folder, LOCK_FILE), `${error.message}; remove it when no process writes into the folder`, { cause: error });
  }
}

function inUse(folder: string, { heldBy, path }: Refusal): string {
  const { pid, host, since, command } = heldBy;
  const isElsewhere = stateOf(heldBy) === 'elsewhere';
  const seen = isElsewhere ? `, last seen ${statSync(path, { throwIfNoEntry: false })?.mtime.toISOString() ?? since}` : '';
  const advice = isElsewhere ? `remove ${join(folder, LOCK_FILE)} if it has ended there` : 'wait until it has ended or stop it';
  return `expected no other process in this folder, got pid ${pid} on ${host} since ${since}${seen} (${command}); ${advice}, or choose another --out`;
}

function beat(path: string): void {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // Its next sign, or none: nobody takes a lock over for that.
  }
}
