import { ArgumentError, FileError } from '@mixsga/backend';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asFileError, makeFolder, orFileError, readFileText } from './fs';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-fs-'))));
afterEach(() => rm(folder, { recursive: true }));

describe('asFileError', () => {
  it.runIf(existsSync('/dev/full'))('names a full disk', async () => {
    // A device that answers every write as a full disk does.
    const error: unknown = await writeFile('/dev/full', 'x').catch((e: unknown) => e);
    const named = asFileError('model.safetensors', error, 'write');
    expect(named).toBeInstanceOf(FileError);
    expect(named.message).toBe('model.safetensors: cannot write: disk full; free some space, or choose another folder');
  });

  it.each<[string, 'read' | 'write', string]>([
    ['ENOENT', 'read', 'cannot read: no such file; check the path'],
    ['ENOENT', 'write', 'cannot write: its folder is gone, or cannot be made here; run again, or choose another folder'],
    ['ENOTDIR', 'read', 'cannot read: a part of the path is a file, expected a folder'],
    ['ENOTDIR', 'write', 'cannot write: a part of the path is a file, expected a folder; choose another folder'],
    ['EACCES', 'read', 'cannot read: no permission to read it'],
    ['EPERM', 'write', 'cannot write: no permission to write it; choose another folder'],
    ['EIO', 'read', 'cannot read: it failed'],
  ])('says what to do of %s (%s)', (code, action, message) => {
    expect(asFileError('a', Object.assign(new Error('it failed'), { code }), action)).toEqual(new FileError('a', message));
  });

  it('takes what is no Error too', async () => {
    expect(asFileError('a', 'text', 'read').message).toBe('a: cannot read: text');
    await expect(orFileError('a', 'write', () => Promise.reject(Object.assign(new Error('x'), { code: 'EROFS' })))).rejects.toEqual(
      new FileError('a', 'cannot write: the file system is read-only; choose another folder'),
    );
    const numbered = Object.assign(new Error('x'), { code: 5 });
    await expect(orFileError('a', 'write', () => Promise.reject(numbered))).rejects.toBe(numbered);
    expect(await orFileError('a', 'write', async () => 7)).toBe(7);
  });

  it('passes on what is no fault of a file system', async () => {
    const stopped = AbortSignal.abort().reason as unknown;
    await expect(orFileError('a', 'write', () => Promise.reject(stopped as Error))).rejects.toBe(stopped);
    const wrong = new ArgumentError('wrong');
    expect(asFileError('a', wrong, 'write')).toBe(wrong);
  });
});

describe('makeFolder', () => {
  it('makes a folder and those that it is in, and leaves one that is there', async () => {
    const path = join(folder, 'a', 'b', 'c');
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(folder, 'a', 'd'))]);
    await makeFolder(path);
    expect(existsSync(path)).toBe(true);
  });

  it('fails below a file, and where there are no folders to make', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(makeFolder(join(folder, 'file'))).rejects.toThrow('EEXIST');
    await expect(makeFolder(join(folder, 'file', 'a', 'b'))).rejects.toThrow('ENOTDIR');
    if (existsSync('/proc/self')) await expect(makeFolder('/proc/mixsga/a')).rejects.toThrow('ENOENT');
  });
});

describe('readFileText', () => {
  it('is the whole file, or names it', async () => {
    const path = join(folder, 'a.txt');
    await writeFile(path, 'Grüße\n');
    expect(await readFileText(path, 100)).toBe('Grüße\n');
    await writeFile(path, '');
    expect(await readFileText(path, 100)).toBe('');
    await expect(readFileText(join(folder, 'b'), 100)).rejects.toThrow(`${join(folder, 'b')}: cannot read: no such file; check the path`);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const path = join(folder, 'a.txt');
    await writeFile(path, Uint8Array.of(0x61, 0xc3));
    await expect(readFileText(path, 2)).rejects.toThrow(`${path}: expected UTF-8 text`);
    await expect(readFileText(path, 1)).rejects.toThrow(`${path}: expected at most 1 bytes, got 2; is it the file that its name says?`);
  });
});
