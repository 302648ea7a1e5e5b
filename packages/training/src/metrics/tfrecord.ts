import { maskedCrc32c } from './crc32c';

const HEADER_BYTES = 12;
const FOOTER_BYTES = 4;

/** A record of a TFRecord file: its length (uint64), the length's checksum, the data, the data's checksum; little-endian. */
export function frameRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(HEADER_BYTES + data.length + FOOTER_BYTES);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, HEADER_BYTES);
  record.writeUInt32LE(maskedCrc32c(data), HEADER_BYTES + data.length);
  return record;
}

/** The record at an offset and where the next one starts; null at the end, and where the file is cut or damaged. */
export function readRecord(file: Buffer, offset: number): { data: Buffer; end: number } | null {
  if (offset + HEADER_BYTES > file.length) return null;
  if (file.readUInt32LE(offset + 8) !== maskedCrc32c(file.subarray(offset, offset + 8))) return null;
  const dataEnd = offset + HEADER_BYTES + Number(file.readBigUInt64LE(offset));
  const end = dataEnd + FOOTER_BYTES;
  if (end > file.length) return null;
  const data = file.subarray(offset + HEADER_BYTES, dataEnd);
  return file.readUInt32LE(dataEnd) === maskedCrc32c(data) ? { data, end } : null;
}
