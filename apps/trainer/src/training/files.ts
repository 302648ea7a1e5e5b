import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { FileError, MixsgaError } from '@mixsga/backend';

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the disk; free some, or choose another --out',
  EDQUOT: 'the disk quota is used up; free some, or choose another --out',
  EFBIG: 'the file is larger than the system allows; raise the limit, or choose another --out',
  EROFS: 'the file system is read-only; choose another --out',
  EACCES: 'no permission to write here; choose another --out',
  EPERM: 'no permission to write here; choose another --out',
  ENOTDIR: 'a part of this path is a file, expected a folder; choose another --out',
  EEXIST: 'this exists and is not a folder; choose another --out',
};

/** Writes a whole file so that at every moment the path holds the old content or the new one. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  await orFileError(path, async () => {
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeSynced(temporary, content);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncDirectory(dirname(path));
  });
}

/** Writes a folder of files so that it appears complete or not at all; one that stands there is replaced. */
export async function writeDirectoryAtomic(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomUUID()}`);
  await orFileError(path, async () => {
    try {
      await mkdir(temporary, { recursive: true });
      await write(temporary);
      await syncDirectory(temporary);
      await rm(path, { recursive: true, force: true });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await syncDirectory(dirname(path));
  });
}

/** Writes a file and waits until it is on the disk. */
export async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Runs `body`; a system error becomes a FileError of `path` that says in words what to do. */
export async function orFileError<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (MixsgaError.isInstance(error) || code === undefined) throw error;
    throw new FileError(path, REASONS[code] ?? (error as Error).message, { cause: error });
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return; // Windows cannot open a folder to sync it
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
