import { AppendFile } from './append-file';

/** Metrics as JSON Lines: one object a row, each with the step it belongs to. */
export class JsonlWriter {
  readonly #file: AppendFile;

  /**
   * @param path made when missing; rows are added to what is there
   * @param truncateAfter the step a run resumes from: later rows, which it will write again, are cut off, as
   *   is a row that a kill left half-written; 0 starts the file anew
   * @throws FileError when the file cannot be opened
   */
  constructor(path: string, truncateAfter: number) {
    this.#file = new AppendFile(path, (content) => (truncateAfter === 0 ? 0 : bytesUpTo(content, truncateAfter)));
  }

  /** @throws FileError when the disk is full */
  write(row: { step: number } & Record<string, unknown>): void {
    this.#file.append(Buffer.from(`${JSON.stringify(row)}\n`));
  }

  close(): void {
    this.#file.close();
  }
}

/** Length of the whole rows before the first one that is after the step or broken. */
function bytesUpTo(content: Buffer, step: number): number {
  let end = 0;
  for (;;) {
    const lineEnd = content.indexOf('\n', end);
    if (lineEnd < 0 || !(stepOf(content.toString('utf8', end, lineEnd)) <= step)) return end;
    end = lineEnd + 1;
  }
}

/** NaN for what is no row. */
function stepOf(line: string): number {
  try {
    return Number((JSON.parse(line) as { step?: unknown } | null)?.step);
  } catch {
    return NaN;
  }
}
