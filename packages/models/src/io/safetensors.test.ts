import { FileError, ArgumentError } from '@mixsga/backend';
import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeSafetensors, encodeSafetensors, fromFloat32, readSafetensors, toFloat32 } from './safetensors';
import type { SafetensorsEntry } from './safetensors';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-safetensors-'))));
afterEach(() => rm(folder, { recursive: true }));

/** A file with that header and that many zero bytes of data. */
function file(header: string | Uint8Array, dataBytes = 0, claimed?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const tensor = (fields: string) => `{"w": {${fields}}}`;

describe('safetensors files', () => {
  it('gives back what was written', async () => {
    const path = join(folder, 'model.safetensors');
    const values = Float32Array.of(1, -2.5, 3.25, 0, -0, 1e-3);
    const tensors = new Map<string, SafetensorsEntry>([
      ['b', fromFloat32(values, [2, 3], 'F16')],
      ['a', fromFloat32(values, [6])],
      ['c', fromFloat32(values, [3, 2], 'BF16')],
      ['empty', fromFloat32(new Float32Array(0), [0, 4])],
      ['__proto__', { dtype: 'I64', shape: [], data: new Uint8Array(8).fill(7) }],
      ['7', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
    ]);
    await writeFile(path, encodeSafetensors(tensors, { format: 'pt' }));
    const read = await readSafetensors(path);
    expect([...read.keys()]).toEqual(['__proto__', 'a', 'empty', 'b', 'c', '7']);
    for (const [name, { dtype, shape, data }] of tensors) {
      expect(read.get(name)).toEqual({ dtype, shape, data: new Uint8Array(data) });
    }
    expect(toFloat32(read.get('a')!)).toEqual(values);
    expect(toFloat32(read.get('b')!)[5]).toBeCloseTo(1e-3, 6);
    expect(toFloat32(read.get('c')!).subarray(0, 5)).toEqual(values.subarray(0, 5));
    expect(() => toFloat32(read.get('7')!)).toThrow(ArgumentError);
  });

  it('is the same bytes whatever the order, sorted by element size then name, the header a multiple of 8', () => {
    const entries: [string, SafetensorsEntry][] = [
      ['x', fromFloat32(Float32Array.of(1), [1], 'F16')],
      ['b', fromFloat32(Float32Array.of(1), [1])],
      ['a', fromFloat32(Float32Array.of(1), [1])],
    ];
    const bytes = encodeSafetensors(new Map(entries));
    expect(encodeSafetensors(new Map(entries.reverse()))).toEqual(bytes);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as object;
    expect(Object.entries(header)).toEqual([
      ['a', { dtype: 'F32', shape: [1], data_offsets: [0, 4] }],
      ['b', { dtype: 'F32', shape: [1], data_offsets: [4, 8] }],
      ['x', { dtype: 'F16', shape: [1], data_offsets: [8, 10] }],
    ]);
  });

  it('reads values from a Buffer and from an odd offset', () => {
    const encoded = encodeSafetensors(new Map([['w', fromFloat32(Float32Array.of(5, 6), [2])]]));
    for (const bytes of [Buffer.from(encoded), Buffer.concat([Buffer.alloc(3), encoded]).subarray(3)]) {
      expect(toFloat32(decodeSafetensors(bytes, 'x').get('w')!)).toEqual(Float32Array.of(5, 6));
    }
  });

  it('refuses data of another size than the shape', () => {
    const wrong = new Map([['w', { ...fromFloat32(Float32Array.of(1), [1]), shape: [2] }]]);
    expect(() => encodeSafetensors(wrong)).toThrow('tensor "w": expected 8 bytes for F32 [2], got 4');
  });

  it('passes over keys of a tensor that it does not know', () => {
    const bytes = file('{"w": {"quant": null, "dtype": "F64", "more": {"a": [1]}, "shape": [1], "data_offsets": [0, 8]}}', 8);
    bytes.set(new Uint8Array(Float64Array.of(0.1).buffer), bytes.length - 8);
    expect(toFloat32(decodeSafetensors(bytes, 'x').get('w')!)).toEqual(Float32Array.of(0.1));
  });

  it('takes names, descriptions and metadata up to their limits, and empty tensors anywhere', () => {
    const name = 'w'.repeat(1024);
    const rows = [
      `"__metadata__": {"a": "${'x'.repeat(2 ** 20)}"}`,
      `"${name}": {"dtype": "U8", "shape": [${'1,'.repeat(57)}2], "data_offsets": [0, 2]}`,
      '"last": {"dtype": "F16", "shape": [1], "data_offsets": [2, 4]}',
      ...[4, 0, 2].map((at) => `"empty at ${at}": {"dtype": "F32", "shape": [3, 0], "data_offsets": [${at}, ${at}]}`),
    ];
    const found = decodeSafetensors(file(`{${rows.join()}}`, 4), 'x');
    expect([...found].map(([key, { data }]) => [key, data.length])).toEqual([['empty at 0', 0], [name, 2], ['empty at 2', 0], ['last', 2], ['empty at 4', 0]]);
  });

  it('has no tensor of the name of its metadata', () => {
    expect(() => encodeSafetensors(new Map([['__metadata__', fromFloat32(Float32Array.of(1), [1])]]))).toThrow(
      new ArgumentError('encodeSafetensors: __metadata__ is reserved, expected another tensor name'),
    );
  });

  it('writes metadata only where there are some, and pads its header with spaces', () => {
    const headerOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes.subarray(8));
    expect(headerOf(encodeSafetensors(new Map()))).toBe('{}      ');
    expect(headerOf(encodeSafetensors(new Map(), { a: '1' }))).toBe('{"__metadata__":{"a":"1"}}      ');
  });

  it('says which file is missing', async () => {
    const path = join(folder, 'absent.safetensors');
    await expect(readSafetensors(path)).rejects.toThrow(`${path}: cannot read: no such file`);
  });
});

describe('hostile safetensors files', () => {
  const f32 = '"dtype": "F32", "shape": [2]';

  it.each<[string, Uint8Array, string]>([
    ['an empty file', new Uint8Array(0), 'at least 8 bytes, got 0'],
    ['a header above the limit', file('{}', 0, 100_000_001n), 'at most 100000000 bytes, got 100000001'],
    ['a header length of 2^64 - 1', file('{}', 0, 2n ** 64n - 1n), 'got 18446744073709551615'],
    ['a file of 7 bytes', new Uint8Array(7), 'at least 8 bytes, got 7; it is cut short'],
    ['a length alone', new Uint8Array(8), 'safetensors header: JSON at byte 0: expected a JSON object, got the end'],
    ['a header of the limit, past the end', file('{}', 0, 100_000_000n), 'expected a header of 100000000 bytes, got 2; the file is cut short'],
    ['a description of 59 dimensions', file(tensor(`"dtype": "F32", "shape": [${'1,'.repeat(58)}1], "data_offsets": [0, 4]`), 4), 'expected at most 64 values'],
    ['metadata of over a megabyte', file(`{"__metadata__": {"a": "${'x'.repeat(2 ** 20 + 1)}"}}`), 'expected a string of at most 1048576 bytes'],
    ['a dtype of a long name', file(tensor(`"dtype": "${'x'.repeat(79)}", "shape": [], "data_offsets": [0, 0]`)), `U8, BOOL, got "${'x'.repeat(76)}...`],
    ['a dtype of 80 letters with its quotes', file(tensor(`"dtype": "${'x'.repeat(78)}", "shape": [], "data_offsets": [0, 0]`)), `U8, BOOL, got "${'x'.repeat(78)}"`],
    ['offsets that are none', file(tensor(`${f32}, "data_offsets": 8`), 8), 'begin <= end, got 8'],
    ['one offset', file(tensor(`${f32}, "data_offsets": [0]`), 8), 'begin <= end, got [0]'],
    ['a shape that is none', file(tensor('"dtype": "F32", "shape": {}, "data_offsets": [0, 8]'), 8), 'expected a shape of whole numbers, got {}'],
    ['a description without keys', file('{"w": {}}'), 'expected the keys data_offsets, dtype, shape, got none'],
    ['a description that is an array', file('{"w": []}'), 'expected the keys data_offsets, dtype, shape, got []'],
    ['a description of null', file('{"w": null}'), 'expected the keys data_offsets, dtype, shape, got null'],
    ['a header past the end', file('{}', 0, 3n), 'expected a header of 3 bytes, got 2; the file is cut short'],
    ['a header that is not UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), 'JSON at byte 1: expected UTF-8 text'],
    ['a header that is not JSON', file('{"w": }'), 'safetensors header: JSON at byte 6'],
    ['an array as header', file('[]'), 'JSON at byte 0: expected a JSON object, got "[]"'],
    ['a tensor given twice', file(`{"w": {${f32}, "data_offsets": [0, 8]}, "w": {${f32}, "data_offsets": [0, 8]}}`, 8), 'each key once'],
    ['metadata that are not strings', file('{"__metadata__": {"a": 1}}'), '__metadata__: expected an object of strings, got 1'],
    ['metadata that are no object', file('{"__metadata__": "pt"}'), '__metadata__: expected an object of strings, got "pt"'],
    ['a name above 1,024 bytes', file(`{"${'w'.repeat(1025)}": {}}`), 'JSON at byte 1: expected a string of at most 1024 bytes'],
    ['a shape of a hundred dimensions', file(tensor(`"dtype": "F32", "shape": [${'1,'.repeat(99)}1], "data_offsets": [0, 4]`), 4), 'expected at most 64 values'],
    ['more tensors than any model', file(`{${Array.from({ length: 100_001 }, (_, i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)}}`), 'expected at most 100000 keys'],
    ['a tensor that is not an object', file('{"w": 3}'), 'tensor "w": expected the keys data_offsets, dtype, shape, got 3'],
    ['a missing field', file(tensor(f32)), 'got dtype, shape'],
    ['an unknown dtype', file(tensor('"dtype": "F6_E2M3", "shape": [8], "data_offsets": [0, 6]'), 6), 'expected a dtype of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32'],
    ['a description of many keys', file(tensor(`${f32}, "data_offsets": [0, 8], "quant": [${'1,'.repeat(99)}1]`), 8), 'expected at most 64 values'],
    ['a key given twice in a description', file(tensor(`${f32}, "data_offsets": [0, 8], "quant": 1, "quant": 2`), 8), 'each key once'],
    ['a dtype from the prototype', file(tensor('"dtype": "constructor", "shape": [1], "data_offsets": [0, 8]'), 8), 'got "constructor"'],
    ['a negative dimension', file(tensor('"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]'), 8), 'expected a shape of whole numbers, got [-1,-2]'],
    ['a fractional dimension', file(tensor('"dtype": "F32", "shape": [0.5], "data_offsets": [0, 2]'), 2), 'got [0.5]'],
    ['a dimension above 2^53', file(tensor('"dtype": "F32", "shape": [9007199254740993], "data_offsets": [0, 8]'), 8), 'at most 2^53 - 1'],
    ['a shape whose product overflows', file(tensor('"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]')), 'got 0'],
    ['a shape of another size', file(tensor('"dtype": "F32", "shape": [3], "data_offsets": [0, 8]'), 8), 'tensor "w": expected 12 bytes for F32 [3], got 8'],
    ['offsets the wrong way', file(tensor(`${f32}, "data_offsets": [8, 0]`), 8), 'begin <= end, got [8,0]'],
    ['a third offset', file(tensor(`${f32}, "data_offsets": [0, 8, 9]`), 8), 'got [0,8,9]'],
    ['a hole at the start', file(tensor(`${f32}, "data_offsets": [4, 12]`), 12), 'expected its data to begin at byte 0, got 4 (a hole)'],
    ['an overlap', file(`{"v": {${f32}, "data_offsets": [0, 8]}, "w": {${f32}, "data_offsets": [4, 12]}}`, 12), 'tensor "w": expected its data to begin at byte 8, got 4 (an overlap)'],
    ['data cut short', file(tensor(`${f32}, "data_offsets": [0, 8]`), 7), 'tensor "w": expected 8 bytes of data, got 7; the file is cut short'],
    ['bytes left over', file(tensor(`${f32}, "data_offsets": [0, 8]`), 9), 'expected 8 bytes of data after the header, got 9'],
  ])('%s', (_, bytes, message) => {
    const decode = () => decodeSafetensors(bytes, 'bad.safetensors');
    expect(decode).toThrow(FileError);
    expect(decode).toThrow(message);
    expect(decode).toThrow(/^bad\.safetensors: [^\n]+$/);
  });

  it('a file cut at any byte', () => {
    const whole = encodeSafetensors(new Map([['w', fromFloat32(Float32Array.of(1, 2), [2])]]));
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeSafetensors(whole.subarray(0, length), 'cut')).toThrow(FileError);
    }
  });

  it('any flipped byte gives tensors or a FileError', () => {
    const whole = encodeSafetensors(new Map([['w', fromFloat32(Float32Array.of(1, 2), [2])]]));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = whole.slice();
        bytes[at]! ^= flip;
        try {
          decodeSafetensors(bytes, 'flipped');
        } catch (error) {
          expect(FileError.isInstance(error)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
