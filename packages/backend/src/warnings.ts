// What a user should know and no error says: the one way in which packages report it.

type Listener = (message: string) => void;

const listeners = new Set<Listener>();
/** A file may be read several times in a command; once is enough. */
const given = new Set<string>();
/** Messages that are remembered. */
const MOST = 1000;

/**
 * Reports what is worth knowing and stops nothing, in one line. The same message is reported once a process. Without a listener it
 * becomes a process warning in Node and a warning of the console in browsers.
 */
export function warn(message: string): void {
  if (given.has(message)) return;
  if (given.size >= MOST) given.clear();
  given.add(message);
  if (listeners.size > 0) for (const listener of listeners) listener(message);
  else if (typeof process !== 'undefined' && process.versions?.node) process.emitWarning(message, 'MixsgaWarning');
  // eslint-disable-next-line no-console -- a browser has no other place for it
  else console.warn(message);
}

/**
 * Takes warnings from now on, those too that were given before.
 * @returns stops that
 */
export function onWarning(listener: Listener): () => void {
  listeners.add(listener);
  given.clear();
  return () => void listeners.delete(listener);
}
