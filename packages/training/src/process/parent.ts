// Nothing but Node is imported here: the command line runs this before it loads anything else.
import { Worker } from 'node:worker_threads';

/** Environment variable with the pid of a process that this one must not outlive. */
export const PARENT_VARIABLE = 'MIXSGA_PARENT';

/** What is left to save, after the parent died, in ms. */
const GRACE = 2000;
/** Between two looks, in ms. */
const INTERVAL = 250;

/** Exit code of what was stopped, as shells have it: 128 + SIGINT. */
export const STOPPED = 130;

/** Whether another process of ours started this one, and hears how it goes. */
export const isChild = process.channel !== undefined;

let end = (): void => process.exit(STOPPED);

/**
 * Makes this process end with its parent, where that asked for it. A parent that closes the channel asks it to stop: at once, or as
 * {@link whenAskedToStop} has it. One that dies, even by kill -9 and before this process has run a line, leaves it a moment to save.
 */
export function endWithParent(): void {
  const parent = Number(process.env[PARENT_VARIABLE]);
  // What this process starts has another parent.
  delete process.env[PARENT_VARIABLE];
  if (isChild) {
    process.on('disconnect', () => end());
    process.channel!.unref(); // a listener would keep the process alive
    if (!process.connected) end();
  }
  if (!(parent > 0)) return;
  if (process.ppid !== parent) process.exit(STOPPED);
  // A thread of its own, since kernels can keep the main one for minutes.
  new Worker(WATCH, { eval: true, workerData: { parent, grace: GRACE, interval: INTERVAL } }).unref();
}

/** Calls `stop` instead of ending at once when the parent asks for it. @returns what undoes that */
export function whenAskedToStop(stop: () => void): () => void {
  const before = end;
  end = stop;
  return () => {
    end = before;
  };
}

/** A parent is gone when its child has another; on Windows, where it keeps its number, when there is no process of that number. */
const WATCH = `
  const { parent, grace, interval } = require('node:worker_threads').workerData;
  const isGone = () => {
    if (process.ppid !== parent) return true;
    try {
      process.kill(parent, 0);
      return false;
    } catch (error) {
      return error.code === 'ESRCH';
    }
  };
  let deadline = Infinity;
  setInterval(() => {
    if (deadline === Infinity && isGone()) deadline = performance.now() + grace;
    if (performance.now() >= deadline) process.kill(process.pid, 'SIGKILL');
  }, interval);
`;
