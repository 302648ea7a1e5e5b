import { FileError } from '@mixsga/backend';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, it } from 'vitest';
import { memorySource } from './byte-source';
import { openSafetensors } from './safetensors-source';
import { MAX_INDEX_BYTES, parseShardIndex } from './shards';
import { bytesOf, pickleOf, PROTO } from './testing/pickle';
import { zipOf } from './testing/zip';
import { openTorch } from './torch-source';

/*
 * Large files made to take much more memory than they have bytes. What is measured is the resident memory of the process before
 * anything is collected, which is why they have a test file, and so a process, of their own.
 */

const MB = 2 ** 20;
/** What the collector may leave lying about. */
const SLACK = 64 * MB;
const SIZE = 20 * MB;

const safetensors = (header: Uint8Array) => {
  const bytes = new Uint8Array(8 + header.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes;
};
/** `start`, then `piece` over and over. */
const filled = (start: string, piece: string) => {
  const bytes = new Uint8Array(SIZE);
  const [a, b] = [bytesOf(start), bytesOf(piece)];
  bytes.set(a);
  for (let at = a.length; at + b.length <= SIZE; at += b.length) bytes.set(b, at);
  return bytes;
};
const numbered = (start: string, piece: (i: number) => string) => {
  const parts = [start];
  for (let i = 0, length = 0; length < SIZE; i++) {
    const text = piece(i);
    parts.push(text);
    length += text.length;
  }
  return new TextEncoder().encode(parts.join(''));
};

let collect: () => void;
beforeAll(() => {
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as () => void;
});

describe('large hostile files', () => {
  it.each<[string, () => Uint8Array, (bytes: Uint8Array) => unknown]>([
    ['arrays in a header', () => safetensors(filled('{"a":[', '[],')), (b) => openSafetensors(memorySource(b, 'x'))],
    ['a shape of numbers', () => safetensors(filled('{"a":{"shape":[', '0,')), (b) => openSafetensors(memorySource(b, 'x'))],
    ['objects in a header', () => safetensors(filled('{"a":', '{"a":')), (b) => openSafetensors(memorySource(b, 'x'))],
    ['empty tensors', () => safetensors(numbered('{"x":0', (i) => `,"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`).fill(32, 1, 7)), (b) => openSafetensors(memorySource(b, 'x'))],
    ['keys of metadata', () => safetensors(numbered('{"__metadata__":{"x":"0"', (i) => `,"${i}":""`)), (b) => openSafetensors(memorySource(b, 'x'))],
    ['one name', () => safetensors(filled('{"', 'é')), (b) => openSafetensors(memorySource(b, 'x'))],
    ['a number', () => safetensors(filled('{"a":', '1')), (b) => openSafetensors(memorySource(b, 'x'))],
    ['names in an index', () => numbered('{"weight_map":{"x":"x.bin"', (i) => `,"${i}":"x.bin"`), (b) => parseShardIndex(b.subarray(0, MAX_INDEX_BYTES), 'x')],
    ['shards in an index', () => numbered('{"weight_map":{"x":"x.bin"', (i) => `,"${i}":"${i}.bin"`), (b) => parseShardIndex(b.subarray(0, MAX_INDEX_BYTES), 'x')],
    ['a pickle', () => zipOf(new Map([['m/data.pkl', filled(PROTO, 'N')]])), (b) => openTorch(memorySource(b, 'x'))],
    ['items of a pickle', () => zipOf(new Map([['m/data.pkl', pickleOf('}', Array.from({ length: 250_000 }, (_, i) => `X\x06\0\0\0${String(i).padStart(6)}K\0s`).join(''))]])), (b) => openTorch(memorySource(b, 'x'))],
    ['entries of a zip', () => zipOf(new Map(Array.from({ length: 60_000 }, (_, i) => [`m/data/${i}`, new Uint8Array(0)]))), (b) => openTorch(memorySource(b, 'x'))],
  ])('%s', async (_, make, read) => {
    const bytes = make();
    collect();
    const before = process.memoryUsage.rss();
    const error: unknown = await Promise.resolve().then(() => read(bytes)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message.length).toBeLessThan(500);
    const taken = process.memoryUsage.rss() - before;
    expect(taken).toBeLessThan(2 * bytes.length + SLACK);
  });
});
