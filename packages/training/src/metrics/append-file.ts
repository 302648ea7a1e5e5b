import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileError } from '@mixsga/backend';

/** A file that only grows, but for a cut at its end when it is opened. Every write is with the system on return. */
export class AppendFile {
  readonly #descriptor: number;

  /**
   * Opens the file, or makes it with its folder, and cuts off what `keep` does not count.
   * @param keep of the file's bytes, how many stay
   * @throws FileError when the file cannot be opened, read or cut
   */
  constructor(
    readonly path: string,
    keep: (content: Buffer) => number,
  ) {
    this.#descriptor = this.#orFileError(() => {
      mkdirSync(dirname(path), { recursive: true });
      return openSync(path, 'a+');
    });
    this.#orFileError(() => ftruncateSync(this.#descriptor, keep(readFileSync(this.#descriptor))));
  }

  /** @throws FileError when the disk is full or the file gone */
  append(bytes: Uint8Array): void {
    this.#orFileError(() => {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done);
    });
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #orFileError<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw new FileError(this.path, `cannot be written: ${(error as Error).message}`, { cause: error });
    }
  }
}
