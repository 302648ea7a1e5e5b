// Compressed pages and the structs around them, to the last byte.
import { describe, expect, it } from 'vitest';

import { checkMetadata, checkThrift, mostUnpacked, mostValues } from './parquet-checks';
import { compressors } from './parquet-codecs';

describe('Thrift', () => {
  /** Where the walk through a struct ends. */
  const end = (...bytes: number[]): number => {
    const reader = { view: new DataView(Uint8Array.from(bytes).buffer), offset: 0 };
    checkThrift(reader);
    return reader.offset;
  };
  const of = (type: number, ...bytes: number[]) => end(0x10 | type, ...bytes, 0, 0xee);

  it.each<[string, number, number[]]>([
    ['true', 1, []], ['false', 2, []], ['a byte', 3, [0xff]], ['a short number', 4, [0x80, 1]], ['a number of 5 bytes', 5, [0x80, 0x80, 0x80, 0x80, 1]],
    ['a long number of 10 bytes', 6, [...new Array<number>(9).fill(0x80), 1]], ['a double', 7, [1, 2, 3, 4, 5, 6, 7, 8]], ['a text', 8, [3, 0, 0, 0]], ['no text', 8, [0]],
    ['a list of booleans', 9, [0x31, 1, 2, 1]], ['a list of bytes', 9, [0x23, 0, 0]], ['a list of 15', 9, [0xf3, 15, ...new Array<number>(15).fill(0)]],
    ['an empty list', 9, [0x0c]], ['a list of structs', 9, [0x2c, 0x15, 2, 0, 0]], ['a struct', 12, [0x15, 2, 0]], ['a list of texts', 9, [0x28, 1, 9, 2, 9, 9]],
  ])('goes behind %s', (_, type, bytes) => expect(of(type, ...bytes)).toBe(bytes.length + 2));

  it('takes the number of a field where it is not counted on', () => expect(end(0x05, 0x80, 1, 7, 0, 0xee)).toBe(5));

  it('takes texts and lists up to the end, numbers up to their bytes, and 32 levels', () => {
    expect(() => end(0x18, 3, 1, 2, 3)).toThrow(/bounds/); // a text to the end, and so no end of the struct
    expect(() => end(0x18, 4, 1, 2, 3)).toThrow('a text of 4 bytes beyond the end');
    expect(() => end(0x19, 0x23, 0, 0)).toThrow(/bounds/);
    expect(() => end(0x19, 0x33, 0, 0)).toThrow('a list of 3 items in 2 bytes');
    expect(() => of(5, 0x80, 0x80, 0x80, 0x80, 0x80, 1)).toThrow('a number of over 5 bytes');
    expect(() => of(6, ...new Array<number>(10).fill(0x80), 1)).toThrow('a number of over 10 bytes');
    const nested = (levels: number) => () => end(...new Array<number>(levels).fill(0x1c), ...new Array<number>(levels + 1).fill(0));
    expect(nested(32)).not.toThrow();
    expect(nested(33)).toThrow('a struct of over 32 levels');
    for (const type of [10, 11, 13]) expect(() => of(type, 0)).toThrow(`a field of type ${type}`);
  });
});

describe('metadata', () => {
  const check = (schema: object[], size = 0, groups: object[] = []) => () => checkMetadata({ schema, row_groups: groups } as never, size);

  it('has 10,000 fields in 32 levels at most', () => {
    const flat = (count: number) => check([{ name: 'root', num_children: count }, ...Array.from({ length: count }, () => ({ name: 'x' }))]);
    expect(flat(9999)).not.toThrow();
    expect(flat(10_000)).toThrow('a schema of 10001 fields, at most 10000 are supported');
    const deep = (levels: number) => check([...Array.from({ length: levels }, () => ({ name: 'x', num_children: 1 })), { name: 'leaf' }]);
    expect(deep(32)).not.toThrow();
    expect(deep(33)).toThrow('a schema of over 32 levels');
    // 40 groups beside each other are no deeper than one.
    expect(check([{ name: 'root', num_children: 40 }, ...Array.from({ length: 40 }, () => [{ name: 'g', num_children: 1 }, { name: 'x' }]).flat()])).not.toThrow();
  });

  it('claims no more bytes than the file has, and none below 0', () => {
    const group = (...sizes: (number | undefined)[]) => ({ columns: sizes.map((size) => ({ meta_data: size === undefined ? undefined : { total_compressed_size: BigInt(size) } })) });
    expect(check([], 10, [group(4, undefined), group(-100, 6)])).not.toThrow();
    expect(check([], 9, [group(4), group(-100, 6)])).toThrow('its columns claim 10 bytes of a file of 9');
  });

  it('lets bytes stand for a bounded number of values, and unpacked ones', () => {
    expect([0, 1, 2 ** 21 - 2 ** 17, 2 ** 21].map(mostValues)).toEqual([2 ** 20, 2 ** 20 + 8, 2 ** 24, 2 ** 24]);
    expect([0, 1, 2 ** 30].map(mostUnpacked)).toEqual([2 ** 26, 2 ** 26 + 256, 2 ** 30]);
  });
});

describe('SNAPPY', () => {
  const text = Array.from({ length: 400 }, (_, i) => (i * 7) % 251);
  const unpack = (bytes: number[], length: number) => Array.from(compressors.SNAPPY(Uint8Array.from([0x80, 0x01, ...bytes]), length));

  it.each([1, 59, 60])('takes %i literals by their tag', (count) => expect(unpack([(count - 1) << 2, ...text.slice(0, count)], count)).toEqual(text.slice(0, count)));

  it.each([[1, [60]], [2, [59, 1]], [3, [43, 1, 0]], [4, [3, 0, 0, 0]]])('takes literals by %i bytes more', (extra, length) => {
    const count = 1 + length.reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
    expect(unpack([(59 + extra) << 2, ...length, ...text.slice(0, count)], count)).toEqual(text.slice(0, count));
  });

  it('copies from near and far', () => {
    const literals = [(59 + 2) << 2, 143, 1, ...text];
    expect(unpack([...literals, (1 << 5) | (3 << 2) | 1, 44], 407)).toEqual([...text, ...text.slice(100, 107)]); // 256 + 44 ago, 3 + 4
    expect(unpack([...literals, (9 << 2) | 2, 144, 1], 410)).toEqual([...text, ...text.slice(0, 10)]); // 400 ago
    expect(unpack([...literals, (63 << 2) | 3, 144, 1, 0, 0], 464)).toEqual([...text, ...text.slice(0, 64)]);
    expect(unpack([4, 1, 2, (5 << 2) | 1, 2], 11)).toEqual([1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1]);
    expect(unpack([12, 1, 2, 3, 4, 1, 4], 8)).toEqual([1, 2, 3, 4, 1, 2, 3, 4]);
    expect(unpack([], 0)).toEqual([]);
  });

  it.each<[string, number[], number, string]>([
    ['copy of nothing', [0, 7, 1, 0], 5, 'outside of themselves'],
    ['copy beyond the end', [0, 7, 1, 1], 4, 'outside of themselves'],
    ['copy without its offset', [0, 7, 1], 5, 'cut short'],
    ['copy with half an offset', [0, 7, 2, 1], 2, 'cut short'],
    ['copy with three quarters of an offset', [0, 7, 3, 1, 0, 0], 2, 'cut short'],
    ['literal too few', [4, 7], 2, 'cut short'],
    ['literal too many', [4, 7, 8], 1, 'cut short'],
    ['byte too few', [0, 7], 2, 'expected 2 bytes unpacked, got 1'],
  ])('refuses a %s', (_, bytes, length, message) => expect(() => unpack(bytes, length)).toThrow(message));
});

describe('LZ4', () => {
  const unpack = (bytes: number[], length: number, codec: 'LZ4_RAW' | 'LZ4' = 'LZ4_RAW') => Array.from(compressors[codec](Uint8Array.from(bytes), length));
  const run = (count: number) => Array.from({ length: count }, (_, i) => i % 256);

  it.each([[0, []], [14, []], [15, [0]], [269, [254]], [270, [255, 0]], [526, [255, 255, 1]]])('takes %i literals', (count, more) =>
    expect(unpack([Math.min(15, count) << 4, ...more, ...run(count)], count)).toEqual(run(count)));

  it.each([[4, []], [18, []], [19, [0]], [273, [254]], [274, [255, 0]]])('repeats %i bytes', (count, more) => {
    expect(unpack([0x20 | Math.min(15, count - 4), 8, 9, 2, 0, ...more, 0x10, 7], count + 3)).toEqual([8, 9, ...Array.from({ length: count }, (_, i) => 8 + (i % 2)), 7]);
    expect(unpack([0xf0 | Math.min(15, count - 4), 255, 30, ...run(300), 44, 1, ...more], 300 + count)).toEqual([...run(300), ...Array.from({ length: count }, (_, i) => i % 256)]);
  });

  it.each<[number[], number, string]>([
    [[0x10, 7, 1], 5, 'cut short'], [[0x10, 7, 1, 0], 6, 'expected 6 bytes unpacked, got 5'], [[0x1f, 7, 1, 0], 99, 'cut short'], [[0xf0], 15, 'cut short'],
  ])('refuses %j', (bytes, length, message) => expect(() => unpack(bytes, length)).toThrow(message));

  it('comes in frames of Hadoop, of any number', () => {
    const frame = (unpacked: number, ...block: number[]) => [0, 0, 0, unpacked, 0, 0, 0, block.length, ...block];
    expect(unpack([...frame(2, 0x20, 5, 6), ...frame(5, 0x10, 7, 1, 0)], 7, 'LZ4')).toEqual([5, 6, 7, 7, 7, 7, 7]);
    expect(unpack(frame(1, 0x10, 9), 1, 'LZ4')).toEqual([9]);
    expect(unpack([], 0, 'LZ4')).toEqual([]);
    expect(() => unpack(frame(1, 0x10, 9), 2, 'LZ4')).toThrow('expected 2 bytes unpacked, got 1');
    // A block alone whose first bytes are no lengths.
    expect(unpack([0x80, 1, 2, 3, 4, 5, 6, 7, 8], 8, 'LZ4')).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe.each(['GZIP', 'BROTLI'] as const)('%s', (codec) => {
  it('unpacks no more than it should', async () => {
    const { brotliCompressSync, gzipSync } = await import('node:zlib');
    const packed = (codec === 'GZIP' ? gzipSync : brotliCompressSync)(new Uint8Array(1000).fill(3));
    expect(compressors[codec](packed, 1000)).toHaveLength(1000);
    expect(() => compressors[codec](packed, 999)).toThrow();
  });
});
