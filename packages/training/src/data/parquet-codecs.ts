import { brotliDecompressSync, gunzipSync } from 'node:zlib';

import { decompress as unzstd } from 'fzstd';
import type { Compressors } from 'hyparquet';

/** How the pages of a Parquet file may be compressed, beside not at all. Each takes a page and its length unpacked, and gives no more than that. */
export const compressors = {
  GZIP: (input, length) => gunzipSync(input, { maxOutputLength: length }),
  BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: length }),
  ZSTD: (input, length) => unzstd(input, new Uint8Array(length)),
  SNAPPY: snappy,
  LZ4_RAW: lz4,
  LZ4: hadoopLz4,
} satisfies Compressors;

/** A buffer that is filled in order and never grows. */
class Output {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  literals(input: Uint8Array, from: number, length: number): void {
    if (from + length > input.length || this.at + length > this.bytes.length) throw new Error('compressed data are cut short');
    this.bytes.set(input.subarray(from, from + length), this.at);
    this.at += length;
  }

  /** Repeats what was put `offset` bytes ago; the copy may reach into itself. */
  copy(offset: number, length: number): void {
    if (offset === 0 || offset > this.at || this.at + length > this.bytes.length) throw new Error('compressed data point outside of themselves');
    const start = this.at - offset;
    if (offset >= length) this.bytes.copyWithin(this.at, start, start + length);
    else for (let i = 0; i < length; i++) this.bytes[this.at + i] = this.bytes[start + i]!;
    this.at += length;
  }

  whole(): Uint8Array {
    if (this.at !== this.bytes.length) throw new Error(`expected ${this.bytes.length} bytes unpacked, got ${this.at}`);
    return this.bytes;
  }
}

function little(input: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (input[at + i] ?? NaN);
  if (Number.isNaN(value)) throw new Error('compressed data are cut short');
  return value;
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function snappy(input: Uint8Array, length: number): Uint8Array {
  const output = new Output(length);
  let at = 0;
  while (input[at++]! >= 0x80);
  while (at < input.length) {
    const tag = input[at++]!;
    if ((tag & 3) === 0) {
      const extra = Math.max(0, (tag >> 2) - 59);
      const literals = (extra === 0 ? tag >> 2 : little(input, at, extra)) + 1;
      output.literals(input, at + extra, literals);
      at += extra + literals;
    } else if ((tag & 3) === 1) {
      output.copy(((tag >> 5) << 8) + little(input, at, 1), ((tag >> 2) & 7) + 4);
      at += 1;
    } else {
      const bytes = (tag & 3) === 2 ? 2 : 4;
      output.copy(little(input, at, bytes), (tag >> 2) + 1);
      at += bytes;
    }
  }
  return output.whole();
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4(input: Uint8Array, length: number): Uint8Array {
  const output = new Output(length);
  let at = 0;
  const extended = (nibble: number): number => {
    let value = nibble;
    if (nibble === 15) for (let byte = 255; byte === 255; value += byte) byte = little(input, at++, 1);
    return value;
  };
  while (at < input.length) {
    const token = input[at++]!;
    const literals = extended(token >> 4);
    output.literals(input, at, literals);
    at += literals;
    if (at === input.length) break; // the last sequence has no match
    const offset = little(input, at, 2);
    at += 2;
    output.copy(offset, extended(token & 15) + 4);
  }
  return output.whole();
}

/** What Hadoop wrote under the name of LZ4: blocks with both their lengths, big-endian, before them; else a block alone. */
function hadoopLz4(input: Uint8Array, length: number): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const output = new Output(length);
  let at = 0;
  while (at + 8 <= input.length) {
    const [unpacked, packed] = [view.getUint32(at), view.getUint32(at + 4)];
    if (unpacked > length - output.at || packed > input.length - at - 8) break;
    output.literals(lz4(input.subarray(at + 8, at + 8 + packed), unpacked), 0, unpacked);
    at += 8 + packed;
  }
  return at === input.length ? output.whole() : lz4(input, length);
}
