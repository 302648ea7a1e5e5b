import { FileError } from '@mixsga/backend';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blobSource, memorySource, openFile, readAll, type ByteSource } from './byte-source';
import { readFileBytes } from './fs';

const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i * 3);

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-bytes-'));
  path = join(folder, 'a.bin');
  await writeFile(path, BYTES);
});
afterEach(() => rm(folder, { recursive: true }));

const kinds: Record<string, () => Promise<ByteSource>> = {
  'a file': () => openFile(path),
  memory: async () => memorySource(BYTES, path),
  'a Blob': async () => blobSource(new Blob([BYTES]), path),
};

describe.each(Object.entries(kinds))('bytes of %s', (_, open) => {
  it('are read from any place on', async () => {
    const source = await open();
    expect([source.where, source.size]).toEqual([path, 100]);
    for (const [position, length] of [[0, 100], [0, 0], [100, 0], [99, 1], [31, 7]] as const) {
      const target = new Uint8Array(length + 2).fill(255);
      await source.readInto(target.subarray(1, length + 1), position);
      expect([...target]).toEqual([255, ...BYTES.subarray(position, position + length), 255]);
    }
    await source.close();
  });

  it('are read whole up to a limit', async () => {
    const source = await open();
    expect(await readAll(source, 100)).toEqual(BYTES);
    await expect(readAll(source, 99)).rejects.toThrow(`${path}: expected at most 99 bytes, got 100; is it the file that its name says?`);
    await source.close();
  });
});

describe('a file', () => {
  it('that is missing or a folder is named', async () => {
    await expect(openFile(join(folder, 'b'))).rejects.toThrow(`${join(folder, 'b')}: cannot read: no such file; check the path`);
    const error: unknown = await openFile(folder).catch((e: unknown) => e);
    expect(error).toEqual(new FileError(folder, 'expected a file, got a folder or a device'));
    await expect(readFileBytes(folder)).rejects.toThrow(`${folder}: cannot read: a folder is there, expected a file`);
  });

  it('that shrank is named, and what can still be read is', async () => {
    const source = await openFile(path);
    await truncate(path, 60);
    const target = new Uint8Array(10);
    await source.readInto(target, 50);
    expect([...target]).toEqual([...BYTES.subarray(50, 60)]);
    await expect(source.readInto(target, 55)).rejects.toThrow(`${path}: expected 100 bytes, got 60; it shrank while it was read`);
    await source.close();
    await expect(source.readInto(target, 0)).rejects.toThrow(`${path}: cannot read: `);
  });
});

it('a Blob that changed since it was chosen is named', async () => {
  const gone = { size: 3, slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) }) } as unknown as Blob;
  await expect(blobSource(gone, 'a.bin').readInto(new Uint8Array(3), 0)).rejects.toEqual(
    new FileError('a.bin', 'cannot read: has the file changed since it was chosen? choose it again'),
  );
});
