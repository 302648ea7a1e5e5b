// Files and folders that appear complete or not at all (Node), and what a killed process leaves of them.
import { makeFolder, orFileError } from './fs';
import { stateOfTag, TAG, tagOf, thisProcess } from './owner';

// Node's modules are imported when a function runs, so that browsers can load this package.

/** As {@link temporaryPath} makes them: .NAME.mixsga-TAG-RANDOM.tmp */
const TEMPORARY = new RegExp(`^\\..+\\.mixsga-(${TAG})-[0-9a-z]+\\.tmp$`);
/** What another machine has not touched for so long is abandoned, milliseconds. */
const ABANDONED = 24 * 3600 * 1000;

/** A name beside `path` for what will be `path`. It carries the process, so that {@link removeLeftovers} knows it. */
export async function temporaryPath(path: string): Promise<string> {
  const { basename, dirname, join } = await import('node:path');
  const random = Math.random().toString(36).slice(2, 10);
  return join(dirname(path), `.${basename(path)}.mixsga-${tagOf(thisProcess())}-${random}.tmp`);
}

/**
 * Removes from a folder the temporary files and folders of processes that were killed. Those of living processes stay, those of other
 * machines until they have not changed for a day, and all other files. What cannot be removed stays too.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  const { readdir, rm } = await import('node:fs/promises');
  for (const name of await readdir(folder).catch((): string[] => [])) {
    const tag = TEMPORARY.exec(name)?.[1];
    const path = `${folder}/${name}`;
    if (tag !== undefined && (await isAbandoned(tag, path))) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Whether the process that a file or folder belongs to has ended, or on another machine has not touched it for a day. */
export async function isAbandoned(tag: string, path: string): Promise<boolean> {
  const state = stateOfTag(tag);
  return state === 'elsewhere' ? (await ageOf(path)) > ABANDONED : state === 'dead';
}

/** Whether nobody has written to a file for a day. */
export async function isOld(path: string): Promise<boolean> {
  return (await ageOf(path)) > ABANDONED;
}

/** Milliseconds since it was written; −∞ where there is none. */
async function ageOf(path: string): Promise<number> {
  const { lstat } = await import('node:fs/promises');
  return Date.now() - ((await lstat(path).catch(() => null))?.mtimeMs ?? Infinity);
}

/**
 * Writes a file so that at every moment, also after a crash, `path` holds either its old content or the whole
 * new one: a temporary file beside it, fsync, rename. Whatever fails, the temporary file is removed. Its folder is
 * made when there is none.
 * @throws FileError when it cannot be written; a full disk is named as such
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  await replaceAtomic(path, (temporary) => writeSynced(temporary, content));
}

/**
 * Writes a folder so that it appears complete or not at all; one that is there is replaced. Otherwise as {@link writeFileAtomic}.
 * @param write fills the folder that it is given, with {@link writeSynced}; its own errors are passed on as they are
 */
export async function writeDirectoryAtomic(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const { mkdir, rm } = await import('node:fs/promises');
  await replaceAtomic(path, async (temporary) => {
    await mkdir(temporary);
    await write(temporary);
    await syncFolder(temporary);
    await rm(path, { recursive: true, force: true });
  });
}

/** Writes a file that is not there yet and waits until the disk has it. @throws the system's own errors, see `orFileError` */
export async function writeSynced(path: string, content: Uint8Array | string): Promise<void> {
  const { open } = await import('node:fs/promises');
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Waits until the disk has the names in a folder. Some systems (Windows) cannot sync one. */
export async function syncFolder(folder: string): Promise<void> {
  const { open } = await import('node:fs/promises');
  const handle = await open(folder, 'r').catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/**
 * Puts a file or folder in its place once it is whole. Its folder is made when there is none, and what killed processes left there is removed.
 * @param write makes it under a temporary name
 * @throws FileError when it cannot be written
 */
export async function replaceAtomic(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const { dirname } = await import('node:path');
  await orFileError(path, 'write', async () => {
    await makeFolder(dirname(path));
    await removeLeftovers(dirname(path));
    await throughTemporary(path, write);
    await syncFolder(dirname(path));
  });
}

/** {@link replaceAtomic} in a folder that is there and is synced by the caller. @throws what `write` throws, and the system's own errors */
export async function throughTemporary(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const { rename, rm } = await import('node:fs/promises');
  const temporary = await temporaryPath(path);
  try {
    await write(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}
