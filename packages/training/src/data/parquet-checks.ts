import { type ColumnMetaData, type FileMetaData, parquetSchema } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel, getSchemaPath } from 'hyparquet/src/schema.js';

import { compressors } from './parquet-codecs';

/*
 * The library that reads Parquet believes what a file says of lengths: a run of 2^31 values, a list of 2^32 fields. What it is given is
 * walked through before, in time that the bytes bound.
 */

/** Bytes unpacked that pages may have beyond what is said of their column: some tools leave the dictionary out. */
const UNDECLARED_BYTES = 2 ** 20;
/** Of the texts of a page that share beginnings. */
const MAX_SHARED_BYTES = 2 ** 26;
const MAX_DEPTH = 32;
const MAX_FIELDS = 10_000;
/** Values that a run may have beyond those of its page: the last is padded. */
const RUN_PADDING = 512;

/** Values that a number of bytes may stand for: runs make few bytes of many values, within reason. */
export function mostValues(bytes: number): number {
  return Math.min(2 ** 24, 2 ** 20 + 8 * bytes);
}

/** Bytes that a number of packed ones may claim to hold: zeros pack a thousand to one, what is worth reading does not. */
export function mostUnpacked(packed: number): number {
  return Math.min(2 ** 30, 2 ** 26 + 256 * packed);
}

/** A place in bytes. */
interface Reader {
  readonly view: DataView;
  offset: number;
}

/** An unsigned LEB128 number, of `most` bytes at most. */
function varint(reader: Reader, most = 10): number {
  let value = 0;
  for (let i = 0; i < most; i++) {
    const byte = reader.view.getUint8(reader.offset++);
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value;
  }
  throw new Error(`a number of over ${most} bytes`);
}

/** Walks through a struct of Thrift's compact protocol: lengths within the bytes, numbers of at most 10 bytes, few levels. */
export function checkThrift(reader: Reader, depth = 0): void {
  if (depth > MAX_DEPTH) throw new Error(`a struct of over ${MAX_DEPTH} levels`);
  for (;;) {
    const byte = reader.view.getUint8(reader.offset++);
    if ((byte & 15) === 0) return;
    if (byte >> 4 === 0) varint(reader, 5);
    checkElement(reader, byte & 15, depth, false);
  }
}

function checkElement(reader: Reader, type: number, depth: number, inList: boolean): void {
  switch (type) {
    case 1:
    case 2:
      if (inList) reader.offset++;
      return;
    case 3:
      reader.offset++;
      return;
    case 4:
    case 5:
      return void varint(reader, 5);
    case 6:
      return void varint(reader);
    case 7:
      reader.offset += 8;
      return;
    case 8: {
      const length = varint(reader, 5);
      reader.offset += length;
      if (reader.offset > reader.view.byteLength) throw new Error(`a text of ${length} bytes beyond the end`);
      return;
    }
    case 9: {
      const byte = reader.view.getUint8(reader.offset++);
      const size = byte >> 4 === 15 ? varint(reader, 5) : byte >> 4;
      if (size > reader.view.byteLength - reader.offset) throw new Error(`a list of ${size} items in ${reader.view.byteLength - reader.offset} bytes`);
      for (let i = 0; i < size; i++) checkElement(reader, byte & 15, depth + 1, true);
      return;
    }
    case 12:
      return checkThrift(reader, depth + 1);
    default:
      throw new Error(`a field of type ${type}`);
  }
}

/** That the schema is small and flat enough to be gone through, and that no bytes belong to two columns. */
export function checkMetadata({ schema, row_groups: groups }: FileMetaData, size: number): void {
  if (schema.length > MAX_FIELDS) throw new Error(`a schema of ${schema.length} fields, at most ${MAX_FIELDS} are supported`);
  const open: number[] = [];
  for (const { num_children: children = 0 } of schema) {
    while (open.at(-1) === 0) open.pop();
    if (open.length > 0) open[open.length - 1]!--;
    if (children > 0) open.push(children);
    if (open.length > MAX_DEPTH) throw new Error(`a schema of over ${MAX_DEPTH} levels`);
  }
  let bytes = 0;
  for (const { columns } of groups) for (const { meta_data: meta } of columns) bytes += Math.max(0, Number(meta?.total_compressed_size ?? 0));
  if (bytes > size) throw new Error(`its columns claim ${bytes} bytes of a file of ${size}`);
}

/**
 * That no page of a column claims more than the column has or its bytes can hold.
 * @param view the bytes of the column
 */
export function checkPages(view: DataView, meta: ColumnMetaData, metadata: FileMetaData): void {
  const path = getSchemaPath(metadata.schema, meta.path_in_schema);
  if (parquetSchema(metadata).children.length === 0) throw new Error('a schema without columns');
  const levels = { repetition: getMaxRepetitionLevel(path), definition: getMaxDefinitionLevel(path) };
  const values = Number(meta.num_values);
  const declared = Math.max(0, Number(meta.total_uncompressed_size));
  let total = 0;
  const reader: Reader = { view, offset: 0 };
  let left = values;
  // The library, too, takes a last byte for padding.
  while (reader.offset < view.byteLength - 1) {
    checkThrift({ view, offset: reader.offset });
    const header = parquetHeader(reader);
    const { compressed_page_size: packed, uncompressed_page_size: unpacked, dictionary_page_header: dictionary } = header;
    const data = header.data_page_header ?? header.data_page_header_v2;
    const counted = (dictionary ?? data)?.num_values ?? 0;
    const fits = packed >= 0 && packed <= view.byteLength - reader.offset && unpacked >= 0;
    if (!fits || !(counted >= 0 && counted <= (dictionary ? values : left))) {
      throw new Error(`a page claims ${counted} values in ${packed ?? 'unknown'} bytes, ${unpacked ?? 'unknown'} unpacked`);
    }
    total += unpacked;
    if (total > declared + UNDECLARED_BYTES) throw new Error(`its pages claim ${total} bytes unpacked, expected ${declared}, as the file says of the column`);
    const bytes = new Uint8Array(view.buffer, view.byteOffset + reader.offset, packed);
    if (data) {
      left -= counted;
      checkDataPage(bytes, header, meta, levels);
    }
    reader.offset += packed;
  }
}

interface Levels {
  readonly repetition: number;
  readonly definition: number;
}

function checkDataPage(bytes: Uint8Array, header: ReturnType<typeof parquetHeader>, { codec, type }: ColumnMetaData, levels: Levels): void {
  const v2 = header.type === 'DATA_PAGE_V2' ? header.data_page_header_v2 : undefined;
  const data = v2 ?? header.data_page_header;
  if (!data) return; // the library refuses it
  const count = data.num_values;
  let nulls = 0;
  let reader: Reader;
  if (v2) {
    const [repetition, definition] = [v2.repetition_levels_byte_length, v2.definition_levels_byte_length];
    const isSound = repetition >= 0 && definition >= 0 && repetition + definition <= bytes.length && v2.num_rows >= 0 && v2.num_nulls >= 0 && v2.num_nulls <= count;
    if (!isSound) throw new Error(`a page claims levels of ${repetition ?? 'unknown'} and ${definition ?? 'unknown'} bytes in ${bytes.length}`);
    const view = viewOf(bytes);
    if (levels.repetition > 0) checkRuns(view, 0, repetition, widthOf(levels.repetition), count);
    if (levels.definition > 0) checkRuns(view, repetition, repetition + definition, widthOf(levels.definition), count);
    const rest = bytes.subarray(repetition + definition);
    const page = v2.is_compressed === false ? rest : decompressPage(rest, header.uncompressed_page_size - repetition - definition, codec, compressors);
    nulls = v2.num_nulls;
    reader = { view: viewOf(page), offset: 0 };
  } else {
    reader = { view: viewOf(decompressPage(bytes, header.uncompressed_page_size, codec, compressors)), offset: 0 };
    if (levels.repetition > 0) skipLevels(reader, levels.repetition, count);
    if (levels.definition > 0) {
      const start = reader.offset;
      skipLevels(reader, levels.definition, count);
      if (data.encoding.startsWith('DELTA')) nulls = nullsOf({ ...reader, offset: start }, levels.definition, count);
    }
  }
  checkValues(reader, data.encoding, type === 'BOOLEAN', count, count - nulls);
}

function checkValues(reader: Reader, encoding: string, isBoolean: boolean, count: number, present: number): void {
  const { view } = reader;
  if (/DICTIONARY|^RLE$/.test(encoding) && reader.offset < view.byteLength) {
    const hasLength = isBoolean; // and no width
    const width = hasLength ? 1 : view.getUint8(reader.offset++);
    if (width > 32) throw new Error(`a dictionary of indices of ${width} bits`);
    checkRuns(view, reader.offset + (hasLength ? 4 : 0), view.byteLength, width, count);
  } else if (encoding.startsWith('DELTA') && present > 0) {
    const start = reader.offset;
    skipDeltas(reader, present);
    if (encoding === 'DELTA_BYTE_ARRAY') {
      skipDeltas(reader, present);
      const again = { view, offset: start };
      let total = 0;
      for (let part = 0; part < 2; part++) {
        const lengths = new Int32Array(present);
        deltaBinaryUnpack(again, present, lengths);
        for (const length of lengths) total += Math.abs(length);
      }
      if (total > Math.max(MAX_SHARED_BYTES, 64 * view.byteLength)) throw new Error(`a page claims ${total} bytes of text`);
    }
  }
}

/** Levels of a page of the first version, which their length precedes. */
function skipLevels(reader: Reader, most: number, count: number): void {
  const length = reader.view.getUint32(reader.offset, true);
  const start = reader.offset + 4;
  if (length > reader.view.byteLength - start) throw new Error(`levels of ${length} bytes beyond the end of a page`);
  checkRuns(reader.view, start, start + length, widthOf(most), count);
  reader.offset = start + length;
}

function nullsOf(reader: Reader, most: number, count: number): number {
  const levels = new Array<number>(count);
  readRleBitPackedHybrid(reader, widthOf(most), levels);
  return levels.reduce((nulls, level) => nulls + (level === most ? 0 : 1), 0);
}

/** Runs of equal or packed numbers: none may have more than the page. */
function checkRuns(view: DataView, start: number, end: number, width: number, count: number): void {
  const reader: Reader = { view, offset: start };
  let seen = 0;
  while (reader.offset < end && seen < count) {
    const header = varint(reader, 5);
    const isPacked = header % 2 === 1;
    const run = Math.floor(header / 2) * (isPacked ? 8 : 1);
    if (run > count + RUN_PADDING) throw new Error(`a run of ${run} values in a page of ${count}`);
    reader.offset += isPacked ? (run / 8) * width : (width + 7) >> 3;
    seen += run;
  }
}

/** A block of numbers as differences. */
function skipDeltas(reader: Reader, count: number): void {
  const [blockSize, miniblocks] = [varint(reader, 5), varint(reader, 5)];
  varint(reader, 5);
  varint(reader);
  const size = blockSize / miniblocks;
  if (!(Number.isInteger(size) && size > 0 && miniblocks <= 1024 && blockSize <= 2 ** 20)) throw new Error(`blocks of ${blockSize} values in ${miniblocks} parts`);
  for (let left = count - 1; left > 0; ) {
    varint(reader);
    const widths = reader.offset;
    reader.offset += miniblocks;
    for (let i = 0; i < miniblocks && left > 0; i++, left -= size) reader.offset += Math.ceil((size * reader.view.getUint8(widths + i)) / 8);
    if (reader.offset > reader.view.byteLength + 8) throw new Error('differences beyond the end of a page');
  }
}

function widthOf(most: number): number {
  return 32 - Math.clz32(most);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
