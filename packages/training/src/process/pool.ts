import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { MixsgaError } from '@mixsga/backend';

import { Interrupted } from './interruption';
import type { ChildMessage } from '../progress/reporter';
import { PARENT_VARIABLE } from './parent';

/** A command of the command line to run in a process of its own. */
export interface Job {
  /** What to call it in errors. */
  name: string;
  /** Arguments of the command line. */
  args: string[];
}

export interface PoolOptions {
  /** Path of the command line's entry. */
  entry: string;
  concurrency: number;
  signal: AbortSignal;
  onMessage: (job: number, message: ChildMessage) => void;
  onFinished: (job: number) => Promise<void>;
}

/**
 * Runs jobs in child processes, `concurrency` at a time, in order. When one fails, or the signal aborts, no more
 * are started and those that run are asked to save and stop; the promise settles when all of them have ended.
 *
 * @throws MixsgaError with the line that the failed job told it by; Interrupted when the signal aborted.
 */
export async function runPool(jobs: readonly Job[], options: PoolOptions): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < jobs.length && !signal.aborted) {
      const index = next++;
      try {
        await runChild(jobs[index]!, options.entry, signal, (message) => options.onMessage(index, message));
        await options.onFinished(index);
      } catch (error) {
        stop.abort();
        throw error;
      }
    }
  };
  const workers = Array.from({ length: options.concurrency }, worker);
  const outcomes = await Promise.allSettled(workers);
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  // When one fails the others are interrupted: the failure is what matters.
  const failure = failures.find((error) => !(error instanceof Interrupted)) ?? failures[0];
  if (failure) throw failure;
  if (options.signal.aborted) throw new Interrupted('stopped');
}

async function runChild(
  job: Job,
  entry: string,
  signal: AbortSignal,
  onMessage: (message: ChildMessage) => void,
): Promise<void> {
  const env = { ...process.env, [PARENT_VARIABLE]: String(process.pid) };
  const child = fork(entry, job.args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env });
  // A closed channel asks the child to save and stop. A Ctrl-C reaches it from the terminal besides.
  const disconnect = (): void => {
    if (child.connected) child.disconnect();
  };
  signal.addEventListener('abort', disconnect, { once: true });
  child.on('message', (message) => onMessage(message as ChildMessage));
  let told = '';
  let lastLine = '';
  const lines = createInterface({ input: child.stderr! }).on('line', (line) => {
    lastLine = line;
    // What follows is advice.
    if (line.startsWith('mixsga: ')) told ||= line.slice('mixsga: '.length);
  });
  // Not the event 'close': after a disconnect from this side it never comes.
  const [[code, killedBy]] = (await Promise.all([once(child, 'exit'), once(lines, 'close')]).finally(() =>
    signal.removeEventListener('abort', disconnect),
  )) as [[number | null, string | null], unknown];
  if (code === 0) return;
  if (code === 130 || signal.aborted) throw new Interrupted('stopped');
  const reason = killedBy ? `ended by ${killedBy}` : told || lastLine;
  throw new MixsgaError(`${job.name}: ${reason || `ended with exit code ${code}`}`);
}
