import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { FileError } from '@mixsga/backend';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { checkMetadata, checkPages, checkThrift, mostUnpacked, mostValues } from './parquet-checks';
import { compressors } from './parquet-codecs';
import { readFileRows } from './rows';

const thrift = (...bytes: number[]) => () => checkThrift({ view: new DataView(Uint8Array.from(bytes).buffer), offset: 0 });

describe('structs of a Parquet file', () => {
  it.each<[string, number[], RegExp]>([
    ['a list of 2^31 items', [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0], /a list of 2147483647 items in 2 bytes/],
    ['a number without an end', [0x16, ...new Array<number>(50).fill(0xff)], /a number of over 10 bytes/],
    ['a text beyond the end', [0x18, 9, 1, 2, 0], /a text of 9 bytes beyond the end/],
    ['levels without end', new Array<number>(100).fill(0x1c), /a struct of over 32 levels/],
    ['lists in lists without end', [0x19, ...new Array<number>(100).fill(0x19)], /unhandled|levels|beyond|bounds|items/],
    ['a field of no type', [0x1e, 0], /a field of type 14/],
    ['no end', [0x15, 2], /bounds/],
  ])('%s', (_, bytes, message) => expect(thrift(...bytes)).toThrow(message));

  it('sound ones pass', () => expect(thrift(0x15, 2, 0x11, 0x1c, 0x18, 1, 65, 0, 0x19, 0x25, 2, 4, 0)).not.toThrow());

  it('a schema of many levels, and columns beyond the file', () => {
    const schema = Array.from({ length: 40 }, () => ({ name: 'x', num_children: 1 }));
    expect(() => checkMetadata({ schema, row_groups: [] } as never, 100)).toThrow('a schema of over 32 levels');
    const group = { columns: [{ meta_data: { total_compressed_size: 60n } }] };
    expect(() => checkMetadata({ schema: [], row_groups: [group, group] } as never, 119)).toThrow('its columns claim 120 bytes of a file of 119');
    expect(() => checkMetadata({ schema: [], row_groups: [group, group] } as never, 120)).not.toThrow();
  });

  it('bytes stand for many values, within reason', () => expect([0, 2 ** 20, 2 ** 30].map(mostValues)).toEqual([2 ** 20, 9 * 2 ** 20, 2 ** 24]));
});

describe('what pages claim', () => {
  const zigzag = (value: number): number[] => {
    const bytes: number[] = [];
    let left = 2 * value;
    for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
    return [...bytes, left];
  };
  /** A data page of one value, whatever it claims to have unpacked. */
  const page = (packed: Uint8Array, unpacked: number) => [0x15, 0, 0x15, ...zigzag(unpacked), 0x15, ...zigzag(packed.length), 0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, ...packed];
  const schema = [{ name: 'root', num_children: 1 }, { name: 'x', type: 'INT32', repetition_type: 'REQUIRED' }];
  const check = (pages: number[][], declared: number, codec: keyof typeof compressors = 'GZIP') => {
    const bytes = Uint8Array.from([...pages.flat(), 0]);
    const meta = { path_in_schema: ['x'], num_values: BigInt(pages.length), total_uncompressed_size: BigInt(declared), codec, type: 'INT32' };
    checkPages(new DataView(bytes.buffer), meta as never, { schema, row_groups: [] } as never);
  };

  it('no more unpacked than the file says of their column', () => {
    const packed = gzipSync(new Uint8Array(4));
    expect(() => check([page(packed, 4), page(packed, 4)], 8)).not.toThrow();
    expect(() => check([page(packed, 2 ** 29)], 8)).toThrow('its pages claim 536870912 bytes unpacked, expected 8, as the file says of the column');
    const large = gzipSync(new Uint8Array(2 ** 20));
    expect(() => check([page(large, 2 ** 20)], 8)).not.toThrow();
    expect(() => check([page(large, 2 ** 20), page(large, 2 ** 20)], 8)).toThrow('its pages claim 2097152 bytes unpacked');
    expect(() => check([page(large, 2 ** 20), page(large, 2 ** 20)], 2 ** 20)).not.toThrow();
  });

  it('as much as is packed may hold', () => expect([0, 1000, 2 ** 30].map(mostUnpacked)).toEqual([2 ** 26, 2 ** 26 + 256_000, 2 ** 30]));

  it('lengths of levels that are missing are said to be', () => {
    const header = [0x15, 6, 0x15, 8, 0x15, 8, 0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0, 0, 1, 2, 3, 4];
    expect(() => check([header], 8)).toThrow('a page claims levels of unknown and unknown bytes in 4');
  });
});

describe('compressed pages', () => {
  it.each<[keyof typeof compressors, number[], number, RegExp]>([
    ['SNAPPY', [4, 0xfc, 0xff, 0xff, 0xff, 0xff], 4, /cut short/], // a literal of 2^32 bytes
    ['SNAPPY', [4, 0x0c, 1, 2], 4, /cut short/],
    ['SNAPPY', [4, 0x01, 1], 4, /outside of themselves/],
    ['SNAPPY', [4, 0x04, 1, 2, 0x05, 2], 4, /outside of themselves/], // a copy beyond the end
    ['SNAPPY', [4, 0x00, 1], 4, /expected 4 bytes unpacked, got 1/],
    ['LZ4_RAW', [0xf0, 0xff, 0xff], 4, /cut short/],
    ['LZ4_RAW', [0x10, 7, 0, 0], 9, /outside of themselves/],
    ['LZ4_RAW', [0x10, 7, 2, 0], 9, /outside of themselves/],
    ['LZ4_RAW', [0x10, 7, 1, 0], 4, /outside of themselves/], // 4 bytes more than asked for
    ['LZ4_RAW', [0x10, 7], 4, /expected 4 bytes unpacked, got 1/],
    ['LZ4', [0, 0, 0, 9, 0, 0, 0, 2, 0x10, 7], 4, /outside of themselves|cut short/],
  ])('%s %j', (codec, bytes, length, message) => expect(() => compressors[codec](Uint8Array.from(bytes), length)).toThrow(message));

  it('LZ4 in the frames of Hadoop, and without', () => {
    const block = [0x12, 7, 1, 0, 0x20, 8, 9]; // 7, six times 7 again, 8, 9
    const expected = Uint8Array.of(7, 7, 7, 7, 7, 7, 7, 8, 9);
    expect(compressors.LZ4(Uint8Array.from(block), 9)).toEqual(expected);
    const framed = Uint8Array.from([0, 0, 0, 9, 0, 0, 0, 7, ...block, 0, 0, 0, 1, 0, 0, 0, 2, 0x10, 5]);
    expect(compressors.LZ4(framed, 10)).toEqual(Uint8Array.of(...expected, 5));
  });
});

describe('pages', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mixsga-pages-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** What is said of a file in which the first `from` is `to`. */
  async function failure(name: string, from: number[], to: number[]): Promise<string> {
    const bytes = await readFile(new URL(`fixtures/${name}`, import.meta.url));
    const at = bytes.indexOf(Buffer.from(from));
    expect(at).toBeGreaterThan(0);
    bytes.set(to, at);
    const path = join(folder, name);
    await writeFile(path, bytes);
    try {
      for await (const _ of readFileRows({ path, name }, {}));
    } catch (error) {
      expect(FileError.isInstance(error)).toBe(true);
      return (error as Error).message;
    }
    return 'read';
  }

  it('a run of more values than its page', async () => {
    // Levels of 2 bytes: a run of 10 times 1.
    expect(await failure('rows-none.parquet', [2, 0, 0, 0, 0x14, 1], [2, 0, 0, 0, 0xfe, 0x7f])).toContain('a run of 8191 values in a page of 10');
    expect(await failure('rows-none.parquet', [2, 0, 0, 0, 0x14, 1], [2, 0, 0, 0, 0xff, 0x7f])).toContain('a run of 65528 values in a page of 10');
    expect(await failure('rows-none.parquet', [2, 0, 0, 0, 0x14, 1], [2, 0, 0, 0xff])).toContain('beyond the end of a page');
  });
});
