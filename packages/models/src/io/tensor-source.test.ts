import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { blobSource, memorySource, openFile, type ByteSource } from './byte-source';
import { fromFloat32 } from './safetensors';
import { FileTensors, memoryTensors, type StoredTensor } from './tensor-source';

/** Values that are widened at a time. */
const CHUNK = 2 ** 20;
/** No two chunks begin alike, since it is odd; all patterns below it are finite numbers. */
const PERIOD = 31_741;
const pattern = (i: number) => (i * 7) % PERIOD;

/** By dtype: element `i` as it is stored, and what it means by the definition of the format. */
const DTYPES = {
  F32: { array: Float32Array, stored: (i: number) => pattern(i) / 8, value: (i: number) => pattern(i) / 8 },
  F64: { array: Float64Array, stored: (i: number) => pattern(i) / 3, value: (i: number) => Math.fround(pattern(i) / 3) },
  F16: { array: Uint16Array, stored: pattern, value: (i: number) => halfValue(pattern(i)) },
  BF16: { array: Uint16Array, stored: pattern, value: (i: number) => new Float32Array(Uint32Array.of(pattern(i) * 65536).buffer)[0]! },
} as const;
type Dtype = keyof typeof DTYPES;

function halfValue(bits: number): number {
  const [exponent, fraction] = [Math.floor(bits / 1024), bits % 1024];
  return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const PADDING = 13;

/** A file of one tensor at an odd place, with other bytes around it. */
function fileOf(dtype: Dtype, count: number): { bytes: Uint8Array<ArrayBuffer>; tensor: StoredTensor } {
  const { array, stored } = DTYPES[dtype];
  const values = new array(count);
  for (let i = 0; i < count; i++) values[i] = stored(i);
  const bytes = new Uint8Array(values.byteLength + 2 * PADDING).fill(0x55);
  bytes.set(new Uint8Array(values.buffer), PADDING);
  return { bytes, tensor: { dtype, shape: [count], where: 'x', position: PADDING } };
}

/** The first place where values are others than the definition has; -1 where there is none. */
function firstWrong(values: Float32Array, dtype: Dtype, index: (at: number) => number = (at) => at): number {
  const { value } = DTYPES[dtype];
  return values.findIndex((x, at) => x !== value(index(at)));
}

/** Gives a few bytes at a time. */
function inPieces(source: ByteSource, piece: number): ByteSource {
  return {
    ...source,
    async readInto(target, position) {
      for (let at = 0; at < target.length; at += piece) await source.readInto(target.subarray(at, at + piece), position + at);
    },
  };
}

const dtypes = Object.keys(DTYPES) as Dtype[];

describe.each(dtypes)('%s', (dtype) => {
  it.each([0, 1, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 7])('%i values', async (count) => {
    const { bytes, tensor } = fileOf(dtype, count);
    const values = await new FileTensors(memorySource(bytes, 'x'), new Map([['w', tensor]])).read('w');
    expect(values.length).toBe(count);
    expect(firstWrong(values, dtype)).toBe(-1);
  });

  it('every other column of more than a chunk', async () => {
    const [rows, columns] = [1025, 1024];
    const { bytes, tensor } = fileOf(dtype, rows * columns * 2);
    const tensors = new FileTensors(memorySource(bytes, 'x'), new Map([['w', { ...tensor, shape: [columns, rows], strides: [2, 2 * columns] }]]));
    const values = await tensors.read('w');
    expect(values.length).toBe(rows * columns);
    expect(firstWrong(values, dtype, (at) => (at % rows) * 2 * columns + Math.floor(at / rows) * 2)).toBe(-1);
  });

  it('raw bytes, and the same in memory', async () => {
    const { bytes, tensor } = fileOf(dtype, CHUNK + 1);
    const raw = await new FileTensors(memorySource(bytes, 'x'), new Map([['w', tensor]])).readRaw('w');
    expect(Buffer.compare(raw, bytes.subarray(PADDING, -PADDING))).toBe(0);
    const memory = memoryTensors(new Map([['w', { dtype, shape: tensor.shape, data: bytes.subarray(PADDING, -PADDING) }]]), 'x');
    expect(firstWrong(await memory.read('w'), dtype)).toBe(-1);
  });

  it('from a file, a Blob beyond what is copied at a time, and a source that gives pieces', async () => {
    const count = Math.max(CHUNK, 2 ** 23 / DTYPES[dtype].array.BYTES_PER_ELEMENT) + 3;
    const { bytes, tensor } = fileOf(dtype, count);
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-tensors-'));
    try {
      const path = join(folder, 'x');
      await writeFile(path, bytes);
      const sources = [await openFile(path), blobSource(new Blob([bytes]), 'x'), inPieces(memorySource(bytes, 'x'), 99_991)];
      for (const source of sources) {
        const tensors = new FileTensors(source, new Map([['w', tensor]]));
        expect(firstWrong(await tensors.read('w'), dtype)).toBe(-1);
        expect(Buffer.compare(await tensors.readRaw('w'), bytes.subarray(PADDING, -PADDING))).toBe(0);
        await tensors.close();
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

it('F64 beyond the range of a float32 is an infinity, and NaN stays NaN', async () => {
  const data = new Uint8Array(Float64Array.of(1e300, -1e300, NaN, 2 ** -149).buffer);
  const tensors = memoryTensors(new Map([['w', { dtype: 'F64', shape: [4], data }]]), 'x');
  expect(await tensors.read('w')).toEqual(Float32Array.of(Infinity, -Infinity, NaN, 2 ** -149));
});

it('integers are refused by name', async () => {
  const tensors = memoryTensors(new Map([['w', { ...fromFloat32(Float32Array.of(1), [1]), dtype: 'I32' as const }]]), 'x');
  await expect(tensors.read('w')).rejects.toThrow('x: tensor "w": expected F32, F16, BF16 or F64, got I32');
});
