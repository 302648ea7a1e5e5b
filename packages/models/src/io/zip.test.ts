import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { memorySource } from './byte-source';
import { zipOf } from './testing/zip';
import { readZip } from './zip';

const entries = new Map([['m/a', Uint8Array.of(1, 2, 3)], ['m/long name', new Uint8Array(200).fill(7)], ['m/empty', new Uint8Array(0)]]);
const END = 22;

async function contentOf(bytes: Uint8Array): Promise<[string, number[]][]> {
  return [...(await readZip(memorySource(bytes, 'x.zip')))].map(([name, { position, size }]) => [name, [...bytes.subarray(position, position + size)]]);
}

const expected = [...entries].map(([name, data]) => [name, [...data]]);

/** An archive with fields changed: the function gets the place of its directory and that of its end record. */
function edited(edit: (view: DataView, directory: number, end: number) => void, options?: Parameters<typeof zipOf>[1]): Uint8Array {
  const bytes = zipOf(entries, options);
  const view = new DataView(bytes.buffer);
  const end = bytes.length - END;
  edit(view, options?.zip64 ? Number(view.getBigUint64(end - 20 - 56 + 48, true)) : view.getUint32(end + 16, true), end);
  return bytes;
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const error: unknown = await contentOf(bytes).catch((e: unknown) => e);
  expect(FileError.isInstance(error)).toBe(true);
  return (error as Error).message;
}

describe('readZip', () => {
  it.each([false, true])('finds stored entries in their order (zip64: %s)', async (zip64) => {
    expect(await contentOf(zipOf(entries, { zip64 }))).toEqual(expected);
    expect(await contentOf(zipOf(new Map(), { zip64 }))).toEqual([]);
  });

  it('finds them behind a comment of any length', async () => {
    const bytes = zipOf(entries);
    for (const length of [1, 22, 0xffff]) {
      const commented = new Uint8Array([...bytes, ...new Uint8Array(length).fill(0x50)]);
      new DataView(commented.buffer).setUint16(bytes.length - 2, length, true);
      expect(await contentOf(commented)).toEqual(expected);
      new DataView(commented.buffer).setUint16(bytes.length - 2, length - 1, true);
      expect(await refusal(commented)).toContain('expected a zip archive');
    }
    expect(await refusal(new Uint8Array([...bytes, ...new Uint8Array(0x10000)]))).toContain('expected a zip archive');
    expect(await refusal(bytes.subarray(0, 21))).toContain('expected a zip archive');
  });

  it('is empty of an end record alone', async () => {
    expect(await contentOf(zipOf(new Map()))).toEqual([]);
    expect(zipOf(new Map())).toHaveLength(END);
    expect(await refusal(zipOf(new Map()).subarray(0, END - 1))).toContain('expected a zip archive');
  });

  it('takes entries in another order than the directory, side by side', async () => {
    // Two of the same length, of which the directory has the second first.
    const bytes = zipOf(new Map([['m/a', Uint8Array.of(1)], ['m/b', Uint8Array.of(2)]]));
    const view = new DataView(bytes.buffer);
    const directory = view.getUint32(bytes.length - 6, true);
    const [a, b] = [bytes.slice(directory, directory + 49), bytes.slice(directory + 49, directory + 98)];
    bytes.set([...b, ...a], directory);
    expect(await contentOf(bytes)).toEqual([['m/b', [2]], ['m/a', [1]]]);
  });

  it('takes an entry that ends where the directory begins, and none that goes on', async () => {
    const grow = (by: number) => {
      const bytes = zipOf(new Map([['m/a', Uint8Array.of(1, 2, 3)]]));
      const view = new DataView(bytes.buffer);
      const directory = view.getUint32(bytes.length - 6, true);
      for (const at of [20, 24]) view.setUint32(directory + at, 3 + by, true);
      return bytes;
    };
    expect(await contentOf(grow(0))).toEqual([['m/a', [1, 2, 3]]]);
    expect(await contentOf(grow(-1))).toEqual([['m/a', [1, 2]]]);
    expect(await refusal(grow(1))).toMatch(/^x\.zip: zip entry "m\/a": expected it to end by byte 67, got 68 \(an overlap\)$/);
  });

  it.each<[string, Parameters<typeof edited>, string | RegExp]>([
    ['a directory that is one byte longer', [(view, _, end) => view.setUint32(end + 12, view.getUint32(end + 12, true) + 1, true)], /zip directory: expected it before byte \d+ in at most 16777216 bytes, got \d+ at \d+$/],
    ['a directory that begins one byte later', [(view, at, end) => (view.setUint32(end + 16, at + 1, true), view.setUint32(end + 12, view.getUint32(end + 12, true) - 1, true))], 'zip directory: expected an entry at its byte 0, got none'],
    ['a directory of fewer entries', [(view, _, end) => view.setUint16(end + 10, 2, true)], /zip directory: expected \d+ bytes for 2 entries, got \d+$/],
    ['a directory of more entries', [(view, _, end) => view.setUint16(end + 10, 4, true)], /zip directory: expected an entry at its byte \d+, got none$/],
    ['a name beyond the directory', [(view, at) => view.setUint16(at + 28, 0xffff, true)], 'the entry at its byte 0 goes past its end'],
    ['an extra field beyond the directory', [(view, at) => view.setUint16(at + 30, 0xffff, true)], 'the entry at its byte 0 goes past its end'],
    ['a comment beyond the directory', [(view, at) => view.setUint16(at + 32, 0xffff, true)], 'the entry at its byte 0 goes past its end'],
    ['an encrypted entry', [(view, at) => view.setUint16(at + 8, 0x801, true)], 'zip entry "m/a": expected it in the clear, got it encrypted'],
    ['a compressed entry', [(view, at) => view.setUint16(at + 10, 12, true)], 'zip entry "m/a": expected it stored uncompressed, got compression method 12'],
    ['an entry of another size than is stored', [(view, at) => view.setUint32(at + 20, 4, true)], 'zip entry "m/a": expected it stored uncompressed, got compression method 0'],
    ['a header at the end', [(view, at, end) => view.setUint32(at + 42, end - 7, true)], /zip entry "m\/a": expected it within \d+ bytes, got byte \d+$/],
    ['a header that just fits', [(view, at, end) => view.setUint32(at + 42, end - 8, true)], /zip entry "m\/a": expected its header at byte \d+, got none$/],
    ['zip64 without a locator', [(view, _, end) => view.setUint32(end - 20, 1, true), { zip64: true }], 'zip64: expected a locator before the end record, got none'],
    ['a zip64 record beyond the end', [(view, _, end) => view.setBigUint64(end - 12, BigInt(end + END - 55), true), { zip64: true }], /zip64: expected the end record within \d+ bytes, got byte \d+$/],
    ['a zip64 record elsewhere', [(view, _, end) => view.setBigUint64(end - 12, BigInt(end + END - 56), true), { zip64: true }], /zip64: expected an end record at byte \d+, got none$/],
    ['a zip64 number beyond all', [(view, _, end) => view.setBigUint64(end - 76 + 32, 2n ** 53n, true), { zip64: true }], 'zip64: expected a number of at most 2^53 - 1, got 9007199254740992'],
    ['a zip64 field that is too short', [(view, at) => view.setUint16(at + 46 + 3 + 2, 23, true), { zip64: true }], 'zip entry "m/a": expected a zip64 field, got none'],
    ['no zip64 field', [(view, at) => view.setUint16(at + 46 + 3, 2, true), { zip64: true }], /zip entry "m\/a": expected it within \d+ bytes, got byte 4294967295$/],
  ])('refuses %s', async (_, edit, message) => expect(await refusal(edited(...edit))).toMatch(message));

  it.each([10, 12, 16])('reads the zip64 record where one field of the end record at %d says so', async (field) => {
    const bytes = zipOf(entries, { zip64: true });
    const view = new DataView(bytes.buffer);
    const end = bytes.length - END;
    const wide = { 10: 32, 12: 40, 16: 48 };
    for (const at of [10, 12, 16] as const) {
      if (at === field) continue;
      const value = Number(view.getBigUint64(end - 76 + wide[at], true));
      if (at === 10) view.setUint16(end + at, value, true);
      else view.setUint32(end + at, value, true);
    }
    expect(await contentOf(bytes)).toEqual(expected);
  });
});
