import { access, constants, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { FileError } from '@mixsga/backend';
import { makeFolder, orFileError, temporaryPath, writeFileAtomic, writeSynced } from '@mixsga/models';

/**
 * Finds out, before the work whose result it is to hold, whether a file can be written: a file is made beside it and removed again.
 *
 * @throws FileError when it cannot be
 */
export async function checkOutputFile(path: string): Promise<void> {
  if (await isDevice(path)) return orFileError(path, 'write', () => access(path, constants.W_OK));
  await orFileError(path, 'write', async () => {
    if ((await stat(path).catch(() => null))?.isDirectory()) throw new FileError(path, 'cannot write: a folder is there, expected a file');
    const probe = await temporaryPath(path);
    const missing = await missingFolders(dirname(path));
    try {
      await makeFolder(dirname(path));
      await writeSynced(probe, ' ');
    } finally {
      await rm(probe, { force: true }).catch(() => undefined);
      for (const folder of missing) await rmdir(folder).catch(() => undefined);
    }
  });
}

/** Writes a file whole or not at all; into a pipe or a device, such as /dev/stdout, as it comes. @throws FileError */
export async function writeOutputFile(path: string, text: string): Promise<void> {
  if (!(await isDevice(path))) return writeFileAtomic(path, text);
  await orFileError(path, 'write', () => writeFile(path, text));
}

/** A folder that is not there and those above it that are not, the deepest first. */
async function missingFolders(folder: string): Promise<string[]> {
  const isThere = await stat(folder).then(() => true, () => false);
  return isThere || dirname(folder) === folder ? [] : [folder, ...(await missingFolders(dirname(folder)))];
}

/** Neither a file nor a folder: a rename would put a file in its place. */
async function isDevice(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => null);
  return info !== null && !info.isFile() && !info.isDirectory();
}
