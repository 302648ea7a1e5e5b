import { FileError } from '@mixsga/backend';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asFileError, readFileText, writeFileAtomic, writeSynced } from './fs';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-fs-'))));
afterEach(() => rm(folder, { recursive: true }));

describe('writeFileAtomic', () => {
  it('replaces a file and leaves nothing beside it', async () => {
    const path = join(folder, 'a.json');
    await writeFile(path, 'old');
    await writeFileAtomic(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(folder)).toEqual(['a.json']);
  });

  it('leaves nothing when the target is a folder', async () => {
    const path = join(folder, 'a.json');
    await mkdir(path);
    await expect(writeFileAtomic(path, 'new')).rejects.toThrow(`${path}: cannot write: a folder is there`);
    expect(await readdir(folder)).toEqual(['a.json']);
  });

  it('makes the folder', async () => {
    const path = join(folder, 'none', 'a.json');
    await writeFileAtomic(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  it.runIf(existsSync('/dev/full'))('names a full disk', async () => {
    // A device that answers every write as a full disk does.
    const error: unknown = await writeSynced('/dev/full', 'x', 'w').catch((e: unknown) => e);
    const named = asFileError('model.safetensors', error, 'write');
    expect(named).toBeInstanceOf(FileError);
    expect(named.message).toBe('model.safetensors: cannot write: disk full; free some space and run again');
  });
});

describe('readFileText', () => {
  it('refuses bytes that are not UTF-8', async () => {
    const path = join(folder, 'a.txt');
    await writeFile(path, Uint8Array.of(0x61, 0xc3));
    await expect(readFileText(path)).rejects.toThrow(`${path}: expected UTF-8 text`);
  });
});
