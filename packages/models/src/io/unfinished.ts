// A folder whose files get their names one after the other, and what a kill between two of them leaves (Node).
import { isAbandoned, syncFolder, throughTemporary, writeSynced } from './atomic';
import { TAG, tagOf, thisProcess } from './owner';

/*
 * Files are written under temporary names first. Before the first gets its own, a list is written of what they are: number on the disk
 * (inode), size and time, which a rename keeps. So a file of the list is distinguished from one that somebody put there later.
 */

const LIST = '.mixsga-unfinished.json';

interface UnfinishedList {
  /** Of the process that is at it. */
  readonly tag: string;
  /** What tells each file from others, by the name that it gets. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Gives files their names, in order.
 * @param files what was written and synced: temporary path, and name in the folder
 * @param before what makes room for them, once the list is there
 * @throws the system's own errors
 */
export async function renameAll(folder: string, files: readonly { temporary: string; name: string }[], before: () => Promise<void>): Promise<void> {
  const { rename, rm } = await import('node:fs/promises');
  const identities = await Promise.all(files.map(async ({ temporary, name }) => [name, await identityOf(temporary)] as const));
  const list = `${folder}/${LIST}`;
  const content: UnfinishedList = { tag: tagOf(thisProcess()), files: Object.fromEntries(identities) };
  await throughTemporary(list, (temporary) => writeSynced(temporary, JSON.stringify(content)));
  await syncFolder(folder);
  await before();
  for (const file of files) await rename(file.temporary, `${folder}/${file.name}`);
  await syncFolder(folder);
  await rm(list, { force: true });
}

/**
 * Removes from a folder the files that a process had given their names when it was killed, before it had come to the end. Those of a living
 * process stay, and every other file.
 */
export async function removeUnfinished(folder: string): Promise<void> {
  const { rm } = await import('node:fs/promises');
  const path = `${folder}/${LIST}`;
  const list = await readList(path);
  if (!list || !(await isAbandoned(list.tag, path))) return;
  for (const [name, identity] of Object.entries(list.files)) {
    if ((await identityOf(`${folder}/${name}`).catch(() => null)) === identity) await rm(`${folder}/${name}`, { force: true });
  }
  await rm(path, { force: true });
}

async function identityOf(path: string): Promise<string> {
  const { lstat } = await import('node:fs/promises');
  const { ino, size, mtimeNs } = await lstat(path, { bigint: true });
  return [ino, size, mtimeNs].join('-');
}

/** @returns null where there is none, or something else of its name */
async function readList(path: string): Promise<UnfinishedList | null> {
  const { readFile } = await import('node:fs/promises');
  try {
    const { tag, files } = JSON.parse(await readFile(path, 'utf8')) as Partial<UnfinishedList>;
    const isSound = typeof tag === 'string' && new RegExp(`^${TAG}$`).test(tag) && typeof files === 'object' && files !== null && Object.keys(files).every((name) => /^[\w][\w.-]*$/.test(name));
    return isSound ? { tag, files } : null;
  } catch {
    return null;
  }
}
