import { isChild, STOPPED, whenAskedToStop } from './parent';

/** The user asked to stop, and what there was to save is saved. */
export class Interrupted extends Error {
  readonly exitCode = STOPPED;
}

/**
 * Runs work that cannot be interrupted, and of which there is nothing to save, such as the encoding of a text: meanwhile Ctrl-C and SIGTERM
 * end the process at once, as they do where nobody listens.
 */
export function endable<T>(work: () => T): T {
  const listening = (['SIGINT', 'SIGTERM'] as const).map((signal) => [signal, process.rawListeners(signal) as (() => void)[]] as const);
  for (const [signal, listeners] of listening) for (const listener of listeners) process.off(signal, listener);
  try {
    return work();
  } finally {
    for (const [signal, listeners] of listening) for (const listener of listeners) process.on(signal, listener);
  }
}

/**
 * Runs `body` with a signal that the first Ctrl-C or SIGTERM aborts; a second one ends the process at once, also while a kernel keeps
 * the event loop. In a child process that a comparison started, the parent's request to stop aborts it too.
 *
 * @throws Interrupted when `body` throws the signal's reason; else what `body` throws
 */
export async function withInterruption<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const onSignal = (): void => {
    // Without a listener the system ends the process by itself.
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    if (!isChild) process.stderr.write('\nmixsga: stopping (again Ctrl-C: at once, without saving)\n');
    controller.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const undo = whenAskedToStop(() => controller.abort());
  try {
    return await body(signal);
  } catch (error) {
    throw signal.aborted && error === signal.reason ? new Interrupted('stopped') : error;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    undo();
  }
}
