import { FileError } from '@mixsga/backend';
import { asFileError, tooLarge } from './fs';
import { fetchRange, sizeOfUrl, type HttpOptions } from './http';

/** The bytes of a file that is read in parts. */
export interface ByteSource {
  /** Path or address, for error messages. */
  readonly where: string;
  readonly size: number;
  /**
   * Fills `target` with the bytes from `position` on.
   * @throws FileError when there are not as many, or they cannot be read
   */
  readInto(target: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** `read` of Node takes at most 2 GiB a call. */
const READ_CHUNK = 2 ** 30;
/** Bytes of a Blob that are copied at a time. */
const BLOB_CHUNK = 2 ** 23;

/** A file of this machine (Node). @throws FileError when it is missing or no file */
export async function openFile(path: string): Promise<ByteSource> {
  const { open } = await import('node:fs/promises');
  const file = await open(path, 'r').catch((error: unknown) => {
    throw asFileError(path, error, 'read');
  });
  const status = await file.stat();
  if (!status.isFile()) {
    await file.close();
    throw new FileError(path, 'expected a file, got a folder or a device');
  }
  const read = async (target: Uint8Array, position: number): Promise<void> => {
    let filled = 0;
    while (filled < target.length) {
      const count = Math.min(READ_CHUNK, target.length - filled);
      const { bytesRead } = await file.read(target, filled, count, position + filled);
      if (bytesRead === 0) throw new FileError(path, `expected ${status.size} bytes, got ${position + filled}; it shrank while it was read`);
      filled += bytesRead;
    }
  };
  return {
    where: path,
    size: status.size,
    readInto: (target, position) =>
      read(target, position).catch((error: unknown) => {
        throw asFileError(path, error, 'read');
      }),
    close: () => file.close(),
  };
}

/** Bytes in memory. */
export function memorySource(bytes: Uint8Array, where: string): ByteSource {
  return {
    where,
    size: bytes.length,
    readInto: async (target, position) => target.set(bytes.subarray(position, position + target.length)),
    close: async () => undefined,
  };
}

/** A Blob, such as a file that somebody chose in a browser. */
export function blobSource(blob: Blob, where: string): ByteSource {
  return {
    where,
    size: blob.size,
    async readInto(target, position) {
      for (let at = 0; at < target.length; at += BLOB_CHUNK) {
        const end = Math.min(at + BLOB_CHUNK, target.length);
        const part = await blob.slice(position + at, position + end).arrayBuffer().catch((error: unknown) => {
          throw new FileError(where, 'cannot read: has the file changed since it was chosen? choose it again', { cause: error });
        });
        target.set(new Uint8Array(part), at);
      }
    },
    close: async () => undefined,
  };
}

/** A file behind an address whose server answers range requests. @throws FileError when it does not, or cannot be reached */
export async function openUrl(url: string, options: HttpOptions = {}): Promise<ByteSource> {
  return {
    where: url,
    size: await sizeOfUrl(url, options),
    async readInto(target, position) {
      let at = 0;
      for await (const chunk of fetchRange(url, position, position + target.length, options)) {
        target.set(chunk, at);
        at += chunk.length;
      }
    },
    close: async () => undefined,
  };
}

/**
 * The whole of a small file.
 * @throws FileError when it is larger than `limit`
 */
export async function readAll(source: ByteSource, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  if (source.size > limit) throw new FileError(source.where, tooLarge(source.size, limit));
  const bytes = new Uint8Array(source.size);
  await source.readInto(bytes, 0);
  return bytes;
}
