import { FileError } from '@mixsga/backend';

// Node's modules are imported when a function runs, so that browsers can load this package.

/** `read` takes at most 2 GiB a call. */
const READ_CHUNK = 2 ** 30;

/**
 * The whole of a file.
 * @throws FileError when it is missing or cannot be read
 */
export async function readFileBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const { open } = await import('node:fs/promises');
  try {
    const file = await open(path, 'r');
    try {
      const bytes = new Uint8Array((await file.stat()).size);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await file.read(bytes, filled, Math.min(READ_CHUNK, bytes.length - filled), filled);
        if (bytesRead === 0) throw new FileError(path, `expected ${bytes.length} bytes, got ${filled}; it shrank while it was read`);
        filled += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw asFileError(path, error, 'read');
  }
}

/**
 * The whole of a UTF-8 text file.
 * @throws FileError when it is missing, cannot be read or is not UTF-8
 */
export async function readFileText(path: string): Promise<string> {
  return decodeUtf8(await readFileBytes(path), path);
}

/** @throws FileError when the bytes are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FileError(where, 'expected UTF-8 text, got bytes that are not UTF-8', { cause: error });
  }
}

/**
 * Writes a file so that at every moment, also after a crash, `path` holds either its old content or the whole
 * new one: a temporary file beside it, fsync, rename. Whatever fails, the temporary file is removed. Its folder is
 * made when there is none.
 * @throws FileError when it cannot be written; a full disk is named as such
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const { mkdir, open, rename, rm } = await import('node:fs/promises');
  const { dirname } = await import('node:path');
  const temporary = `${path}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeSynced(temporary, content, 'wx');
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw asFileError(path, error, 'write');
  }
  // The rename itself reaches the disk with the folder. Some systems (Windows) cannot sync a folder.
  const folder = await open(dirname(path), 'r').catch(() => null);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

/** Writes a file and waits until the disk has it. Errors are the system's own; see {@link asFileError}. */
export async function writeSynced(path: string, content: Uint8Array | string, flag: 'w' | 'wx'): Promise<void> {
  const { open } = await import('node:fs/promises');
  const file = await open(path, flag);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A system error as a FileError that says what was being done, and for the common ones what to do. */
export function asFileError(path: string, error: unknown, action: 'read' | 'write'): Error {
  if (FileError.isInstance(error)) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const reasons: Record<string, string> = {
    ENOSPC: 'disk full; free some space and run again',
    EDQUOT: 'disk quota used up; free some space and run again',
    ENOENT: action === 'read' ? 'no such file; check the path' : 'its folder is gone; run again',
    ENOTDIR: 'a part of the path is a file, expected a folder',
    EEXIST: 'a file is there, expected a folder',
    EFBIG: 'the file is larger than the system allows; raise the limit',
    EISDIR: 'a folder is there, expected a file',
    EACCES: `no permission to ${action} it`,
    EPERM: `no permission to ${action} it`,
    EROFS: 'the file system is read-only',
  };
  const reason = reasons[code] ?? (error instanceof Error ? error.message : String(error));
  return new FileError(path, `cannot ${action}: ${reason}`, { cause: error });
}
