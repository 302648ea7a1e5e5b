import { readFile, stat } from 'node:fs/promises';
import { FileError } from '@mixsga/backend';

/** A JavaScript string holds about 2^29 UTF-16 units: half of it leaves room to join and copy. */
export const MAXIMUM_BYTES = 2 ** 28;

/**
 * The text of a UTF-8 file, decoded strictly; a byte order mark is dropped.
 * @throws FileError when the file cannot be read, is larger than {@link MAXIMUM_BYTES}, or is not UTF-8 or has a zero (with
 *   the offset of the first wrong byte)
 */
export async function readText(path: string): Promise<string> {
  const size = await stat(path).then((status) => status.size, () => 0);
  if (size > MAXIMUM_BYTES) throw new FileError(path, `holds ${size} bytes, at most ${MAXIMUM_BYTES} are supported; train on a part of it`);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new FileError(path, `cannot be read: ${message(error)}`, { cause: error });
  });
  const zero = bytes.indexOf(0);
  if (zero >= 0) throw new FileError(path, `holds a zero byte at byte ${zero}; is it a text file? convert it to UTF-8`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FileError(path, `not valid UTF-8 at byte ${firstInvalidByte(bytes)}; convert the file to UTF-8`);
  }
}

/** The text of an error on one line. */
export function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\p{Cc}/gu, (control) => JSON.stringify(control).slice(1, -1));
}

/**
 * The offset of the first byte that no UTF-8 text has there: decoding a prefix fails from that byte on, so
 * bisection finds it. A text cut inside a character fails only at its end.
 */
export function firstInvalidByte(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      valid = middle;
    } catch {
      invalid = middle;
    }
  }
  return valid;
}
