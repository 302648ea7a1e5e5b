import { closeSync, fsyncSync, linkSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

import { makeFolderSync, stateOf } from '@mixsga/models';

import { type Holder, newHolder } from './holder';

/*
 * A lock is a chain of files. `.mixsga.lock` names its holder, with an id. When that process died, the next one takes over by
 * making `.mixsga.lock.ID`, which again names its holder, and so on: the last of the chain holds the lock. A file of the chain is made
 * whole and only once (a hard link), so of two that find the same dead holder one wins. To release is to remove `.mixsga.lock`: at
 * that moment the chain is gone, and since no id comes twice, whoever still adds to it finds that nothing leads there.
 */

export const LOCK_FILE = '.mixsga.lock';

/** Attempts in which others were faster before something must be wrong. */
const MAX_ATTEMPTS = 1000;
/** Takeovers that a chain may have before something must be wrong. */
const MAX_CHAIN = 100_000;

/** A lock file that is none of ours, or was cut by a crash of the system. */
export class UnreadableLock extends Error {}

export interface HeldLock {
  /** Of this process's own file in the chain. */
  readonly path: string;
  /** Ends the lock. More than once is once. */
  release(): void;
}

/** Who has the lock, and its file. */
export interface Refusal {
  readonly heldBy: Holder;
  readonly path: string;
}

/** Whether a name in a folder is that of a lock. */
export function isLockFile(name: string): boolean {
  return name === LOCK_FILE || name.startsWith(`${LOCK_FILE}.`);
}

/**
 * Takes the lock of a folder, made when there is none, unless a process that lives, or that may live elsewhere, has it.
 *
 * @returns the lock, or who has it
 * @throws UnreadableLock; system errors
 */
export function tryLock(folder: string): HeldLock | Refusal {
  const me = newHolder();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const made = makeFolderSync(folder);
    const last = readChain(folder).at(-1);
    if (last !== undefined && stateOf(last.holder) !== 'dead') return { heldBy: last.holder, path: join(folder, last.name) };
    const name = last === undefined ? LOCK_FILE : successor(last.holder.id);
    if (!makeOnce(folder, name, me)) continue;
    const names = readChain(folder).map((link) => link.name);
    if (names.at(-1) !== name) {
      // Its holder had ended after all, in order, before the file was made.
      rmSync(join(folder, name), { force: true });
      continue;
    }
    removeOthers(folder, names);
    let released = false;
    return {
      path: join(folder, name),
      release: () => {
        if (!released) release(folder, names, made);
        released = true;
      },
    };
  }
  throw new UnreadableLock(`expected to make ${LOCK_FILE}, and did not in ${MAX_ATTEMPTS} attempts`);
}

function successor(id: string): string {
  return `${LOCK_FILE}.${id}`;
}

interface Link {
  readonly name: string;
  readonly holder: Holder;
}

function readChain(folder: string): Link[] {
  const links: Link[] = [];
  for (let name = LOCK_FILE; links.length < MAX_CHAIN; ) {
    const holder = readHolder(join(folder, name));
    if (holder === null) return links;
    links.push({ name, holder });
    name = successor(holder.id);
  }
  throw new UnreadableLock('expected the locks of processes that ended to come to an end');
}

/** @returns null when there is no such file */
function readHolder(path: string): Holder | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    if (/^[\da-f-]{36}$/.test(String(holder?.id)) && Number.isInteger(holder?.pid)) return holder as Holder;
  } catch {
    // told below
  }
  throw new UnreadableLock('expected a lock of mixsga, got something else');
}

/** Makes a file that appears whole, unless there is one. @returns whether it did */
function makeOnce(folder: string, name: string, holder: Holder): boolean {
  const path = join(folder, name);
  const temporary = join(folder, `${successor(holder.id)}.tmp`);
  const text = `${JSON.stringify(holder)}\n`;
  try {
    writeFileSync(temporary, text);
    const file = openSync(temporary, 'r+');
    fsyncSync(file);
    closeSync(file);
    try {
      linkSync(temporary, path);
    } catch (error) {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      writeFileSync(path, text, { flag: 'wx' });
    }
    return true;
  } catch (error) {
    // Another was faster; or whoever has the lock cleaned up, or left with the folder that it had made.
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** What file systems without hard links answer. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/** What processes left that were killed while they took or released the lock. */
function removeOthers(folder: string, chain: readonly string[]): void {
  for (const name of readdirSync(folder)) {
    if (isLockFile(name) && !chain.includes(name)) rmSync(join(folder, name), { force: true });
  }
}

/** @param made the first folder that was made for this one, if any: those that are empty go again */
function release(folder: string, chain: readonly string[], made: string | undefined): void {
  for (const name of chain) rmSync(join(folder, name), { force: true });
  if (made === undefined) return;
  try {
    for (let path = resolve(folder); path.length >= resolve(made).length; path = dirname(path)) rmdirSync(path);
  } catch {
    // Not empty: there are results.
  }
}
