import { FileError, MixsgaError } from '@mixsga/backend';

// Node's modules are imported when a function runs, so that browsers can load this package.

/** `read` takes at most 2 GiB a call. */
const READ_CHUNK = 2 ** 30;

/**
 * The whole of a file.
 * @throws FileError when it is missing, cannot be read or has more than `limit` bytes
 */
export async function readFileBytes(path: string, limit = Infinity): Promise<Uint8Array<ArrayBuffer>> {
  const { open } = await import('node:fs/promises');
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > limit) throw new FileError(path, tooLarge(size, limit));
      const bytes = new Uint8Array(size);
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

export function tooLarge(size: number, limit: number): string {
  return `expected at most ${limit} bytes, got ${size}; is it the file that its name says?`;
}

/**
 * The whole of a UTF-8 text file.
 * @throws FileError when it is missing, cannot be read, has more than `limit` bytes or is not UTF-8
 */
export async function readFileText(path: string, limit: number): Promise<string> {
  return decodeUtf8(await readFileBytes(path, limit), path);
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
 * Runs `body`; a system error becomes a FileError of `path`, see {@link asFileError}. Other errors, such as the reason of an aborted
 * signal, are passed on as they are.
 */
export async function orFileError<T>(path: string, action: 'read' | 'write', body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const isSystem = typeof (error as NodeJS.ErrnoException | undefined)?.code === 'string';
    throw isSystem ? asFileError(path, error, action) : error;
  }
}

/**
 * Makes a folder, and those that it is in. Node's own recursive mkdir never returns where a file system has no folders to make, as below
 * /proc: there ENOENT does not mean that the folder above is missing.
 *
 * @returns the first that was made, if any
 * @throws the system's own errors, see {@link orFileError}
 */
export function makeFolderSync(path: string): string | undefined {
  const { existsSync, mkdirSync, statSync } = process.getBuiltinModule('node:fs');
  const { dirname } = process.getBuiltinModule('node:path');
  const isFolder = () => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder()) return undefined;
  const above = dirname(path);
  const first = above !== path && !existsSync(above) ? makeFolderSync(above) : undefined;
  try {
    mkdirSync(path);
    return first ?? path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isFolder()) throw error; // another process was faster
    return first;
  }
}

/** {@link makeFolderSync} as a promise. */
export async function makeFolder(path: string): Promise<void> {
  await Promise.resolve(makeFolderSync(path));
}

/** A system error as a FileError that says what was being done, and for the common ones what to do. */
export function asFileError(path: string, error: unknown, action: 'read' | 'write'): Error {
  if (MixsgaError.isInstance(error)) return error;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const elsewhere = action === 'write' ? '; choose another folder' : '';
  const reasons: Record<string, string> = {
    ENOSPC: 'disk full; free some space, or choose another folder',
    EDQUOT: 'disk quota used up; free some space, or choose another folder',
    ENOENT: action === 'read' ? 'no such file; check the path' : 'its folder is gone, or cannot be made here; run again, or choose another folder',
    ENOTDIR: `a part of the path is a file, expected a folder${elsewhere}`,
    EEXIST: 'a file is there, expected a folder; choose another name',
    EFBIG: 'the file is larger than the system allows; raise the limit',
    EISDIR: 'a folder is there, expected a file',
    EACCES: `no permission to ${action} it${elsewhere}`,
    EPERM: `no permission to ${action} it${elsewhere}`,
    EROFS: 'the file system is read-only; choose another folder',
  };
  const reason = reasons[code] ?? (error instanceof Error ? error.message : String(error));
  return new FileError(path, `cannot ${action}: ${reason}`, { cause: error });
}
