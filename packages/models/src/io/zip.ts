import { FileError } from '@mixsga/backend';
import type { ByteSource } from './byte-source';
import { show } from './safetensors-header';

/** Where the bytes of a stored entry lie in the archive. */
export interface ZipEntry {
  readonly position: number;
  readonly size: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const END_64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** The end record and the longest comment after it. */
const MAX_TAIL = 22 + 0xffff;
/** Some 100,000 entries. */
const MAX_DIRECTORY = 16 * 2 ** 20;

/**
 * The directory of a zip archive whose entries are stored uncompressed, as torch.save writes them; zip64 too.
 * @returns name to place, in the order of the directory
 * @throws FileError when it is no such archive, an entry is compressed, encrypted or outside of the file, or two overlap
 */
export async function readZip(bytes: ByteSource): Promise<Map<string, ZipEntry>> {
  const { where } = bytes;
  const { position, size, count } = await findDirectory(bytes);
  const view = await read(bytes, position, size);
  const headers: { name: string; header: number; size: number }[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const entry = centralEntry(view, at, where);
    headers.push(entry);
    at += entry.length;
  }
  if (at !== size) throw new FileError(where, `zip directory: expected ${size} bytes for ${count} entries, got ${at}`);

  const entries = new Map<string, ZipEntry>();
  const order = [...headers].sort((a, b) => a.header - b.header);
  const places = new Map<string, ZipEntry>();
  for (const [i, entry] of order.entries()) {
    const limit = order[i + 1]?.header ?? position;
    const start = await dataStart(bytes, entry);
    if (start + entry.size > limit) {
      throw new FileError(where, `zip entry ${show(entry.name)}: expected it to end by byte ${limit}, got ${start + entry.size} (an overlap)`);
    }
    places.set(entry.name, { position: start, size: entry.size });
  }
  if (places.size !== headers.length) throw new FileError(where, 'zip directory: expected each name once, got one twice');
  for (const { name } of headers) entries.set(name, places.get(name)!);
  return entries;
}

async function findDirectory(bytes: ByteSource): Promise<{ position: number; size: number; count: number }> {
  const { where, size: fileBytes } = bytes;
  const tailStart = Math.max(0, fileBytes - MAX_TAIL);
  const tail = await read(bytes, tailStart, fileBytes - tailStart);
  let at = tail.byteLength - 22;
  while (at >= 0 && !(tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === tail.byteLength - at - 22)) at--;
  if (at < 0) {
    throw new FileError(where, 'expected a zip archive, as torch.save has written since PyTorch 1.6, got none or one cut short; save it again as safetensors');
  }
  let directory = { count: tail.getUint16(at + 10, true), size: tail.getUint32(at + 12, true), position: tail.getUint32(at + 16, true) };
  let end = tailStart + at;
  if (directory.count === 0xffff || directory.size === 0xffffffff || directory.position === 0xffffffff) {
    if (at < 20 || tail.getUint32(at - 20, true) !== END_64_LOCATOR) throw new FileError(where, 'zip64: expected a locator before the end record, got none');
    end = integer64(tail, at - 12, where);
    if (end + 56 > fileBytes) throw new FileError(where, `zip64: expected the end record within ${fileBytes} bytes, got byte ${end}`);
    const record = await read(bytes, end, 56);
    if (record.getUint32(0, true) !== END_64) throw new FileError(where, `zip64: expected an end record at byte ${end}, got none`);
    directory = { count: integer64(record, 32, where), size: integer64(record, 40, where), position: integer64(record, 48, where) };
  }
  if (directory.size > MAX_DIRECTORY || directory.position + directory.size > end) {
    throw new FileError(where, `zip directory: expected it before byte ${end} in at most ${MAX_DIRECTORY} bytes, got ${directory.size} at ${directory.position}`);
  }
  return directory;
}

function centralEntry(view: DataView, at: number, where: string): { name: string; header: number; size: number; length: number } {
  if (at + 46 > view.byteLength || view.getUint32(at, true) !== CENTRAL) {
    throw new FileError(where, `zip directory: expected an entry at its byte ${at}, got none`);
  }
  const u16 = (offset: number) => view.getUint16(at + offset, true);
  const u32 = (offset: number) => view.getUint32(at + offset, true);
  const [nameBytes, extraBytes] = [u16(28), u16(30)];
  const length = 46 + nameBytes + extraBytes + u16(32);
  if (at + length > view.byteLength) throw new FileError(where, `zip directory: the entry at its byte ${at} goes past its end`);
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameBytes));
  if (u16(8) & 1) throw new FileError(where, `zip entry ${show(name)}: expected it in the clear, got it encrypted`);
  let [stored, size, header] = [u32(20), u32(24), u32(42)];
  let extra = at + 46 + nameBytes;
  const extraEnd = extra + extraBytes;
  while (extra + 4 <= extraEnd) {
    const fieldEnd = extra + 4 + view.getUint16(extra + 2, true);
    if (view.getUint16(extra, true) === 1) {
      // The fields that did not fit, in this order.
      let field = extra + 4;
      const next = (value: number) => {
        if (value !== 0xffffffff) return value;
        if (field + 8 > Math.min(fieldEnd, extraEnd)) throw new FileError(where, `zip entry ${show(name)}: expected a zip64 field, got none`);
        field += 8;
        return integer64(view, field - 8, where);
      };
      size = next(size);
      stored = next(stored);
      header = next(header);
    }
    extra = fieldEnd;
  }
  if (u16(10) !== 0 || stored !== size) {
    throw new FileError(where, `zip entry ${show(name)}: expected it stored uncompressed, got compression method ${u16(10)}`);
  }
  return { name, header, size, length };
}

/** First byte of an entry's data, which its own header tells. */
async function dataStart(bytes: ByteSource, { name, header }: { name: string; header: number }): Promise<number> {
  if (header + 30 > bytes.size) throw new FileError(bytes.where, `zip entry ${show(name)}: expected it within ${bytes.size} bytes, got byte ${header}`);
  const local = await read(bytes, header, 30);
  if (local.getUint32(0, true) !== LOCAL) throw new FileError(bytes.where, `zip entry ${show(name)}: expected its header at byte ${header}, got none`);
  return header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
}

async function read(bytes: ByteSource, position: number, size: number): Promise<DataView> {
  const target = new Uint8Array(size);
  await bytes.readInto(target, position);
  return new DataView(target.buffer);
}

function integer64(view: DataView, at: number, where: string): number {
  const value = view.getBigUint64(at, true);
  if (value > Number.MAX_SAFE_INTEGER) throw new FileError(where, `zip64: expected a number of at most 2^53 - 1, got ${value}`);
  return Number(value);
}
