import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { readFileBytes, writeDirectoryAtomic, writeSynced } from '@mixsga/models';

/** What `sha256sum -c` reads: a line `HASH  NAME` for each file of the folder. */
const SUMS = 'SHA256SUMS';

/** Bytes that are hashed at a time; Node takes less than 2 GiB. */
const CHUNK = 2 ** 28;

/**
 * Writes a folder that appears complete or not at all, with a checksum of each of its files.
 * @param write gives the files one by one, so that one is in memory at a time
 * @throws FileError when it cannot be written
 */
export async function writeCheckedFolder(
  path: string, write: (file: (name: string, content: string | Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  await writeDirectoryAtomic(path, async (temporary) => {
    const lines: string[] = [];
    await write(async (name, content) => {
      lines.push(`${sha256(content)}  ${name}\n`);
      await writeSynced(join(temporary, name), content);
    });
    await writeSynced(join(temporary, SUMS), lines.join(''));
  });
}

/** The files of a folder as {@link writeCheckedFolder} left it. */
export interface CheckedFolder {
  /** Whether there are checksums: folders of earlier versions have none. */
  readonly checked: boolean;
  /** The whole of a file. @throws FileError when it is missing, or not what was written */
  read(name: string): Promise<Uint8Array>;
}

/** @throws FileError when the checksums are damaged or cannot be read */
export async function openCheckedFolder(folder: string): Promise<CheckedFolder> {
  const path = join(folder, SUMS);
  const isThere = await stat(path).then(() => true, () => false);
  const sums = isThere ? parseSums(Buffer.from(await readFileBytes(path)).toString('latin1'), path) : null;
  const read = async (name: string): Promise<Uint8Array> => {
    const file = join(folder, name);
    const bytes = await readFileBytes(file);
    if (sums === null) return bytes;
    const [expected, got] = [sums.get(name), sha256(bytes)];
    if (got !== expected) throw new FileError(file, `damaged: expected SHA-256 ${expected?.slice(0, 8) ?? 'in SHA256SUMS'}…, got ${got.slice(0, 8)}…`);
    return bytes;
  };
  return { checked: sums !== null, read };
}

function parseSums(text: string, path: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split('\n').slice(0, -1)) {
    const [, hash, name] = /^([\da-f]{64}) {2}([\w.-]+)$/.exec(line) ?? [];
    if (hash === undefined || name === undefined) throw new FileError(path, `damaged: line ${sums.size + 1} is no checksum`);
    sums.set(name, hash);
  }
  return sums;
}

function sha256(content: string | Uint8Array): string {
  const hash = createHash('sha256');
  if (typeof content === 'string') return hash.update(content).digest('hex');
  for (let at = 0; at < content.length; at += CHUNK) hash.update(content.subarray(at, at + CHUNK));
  return hash.digest('hex');
}
