import { constants } from 'node:os';

/** The user asked to stop, and what there was to save is saved. */
export class Interrupted extends Error {
  /** 128 + the signal's number, as shells have it. */
  readonly exitCode = 128 + constants.signals.SIGINT;
}

/**
 * Runs `body` with a signal that the first Ctrl-C or SIGTERM aborts; a second one ends the process at once.
 * In a child process that a comparison started, the end of the parent aborts it too.
 */
export async function withInterruption<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const isChild = process.channel !== undefined;
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(128 + constants.signals.SIGINT);
    controller.abort();
    if (!isChild) process.stderr.write('\nmixsga: stopping (again Ctrl-C: at once, without saving)\n');
  };
  const onDisconnect = (): void => controller.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  if (isChild) process.on('disconnect', onDisconnect);
  try {
    return await body(controller.signal);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('disconnect', onDisconnect);
  }
}
