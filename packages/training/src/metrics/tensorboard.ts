import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AppendFile } from './append-file';
import { decodeStep, encodeScalars, encodeVersion } from './event';
import { frameRecord, readRecord } from './tfrecord';

/** Scalars as a TensorBoard event file: `tensorboard --logdir FOLDER` shows them. */
export class TensorBoardWriter {
  readonly #file: AppendFile;

  /**
   * @param folder made when missing; the event file that is there is continued, so that a run has one
   * @param truncateAfter the step a run resumes from: later events, which it will write again, are cut off, as
   *   is an event that a kill left half-written; 0 starts the file anew
   * @throws FileError when the file cannot be opened
   */
  constructor(folder: string, truncateAfter: number) {
    const found = existsSync(folder) ? readdirSync(folder).find((name) => name.startsWith('events.out.tfevents.')) : undefined;
    const name = found ?? `events.out.tfevents.${Math.floor(secondsNow())}.mixsga`;
    let kept = 0;
    this.#file = new AppendFile(join(folder, name), (content) => {
      kept = truncateAfter === 0 ? 0 : bytesUpTo(content, truncateAfter);
      return kept;
    });
    if (kept === 0) this.#file.append(frameRecord(encodeVersion(secondsNow())));
  }

  /**
   * Adds one event with a scalar for each tag. TensorBoard stores scalars as 32-bit floats and groups tags by
   * the part before a slash.
   * @throws FileError when the disk is full
   */
  write(step: number, scalars: Readonly<Record<string, number>>): void {
    this.#file.append(frameRecord(encodeScalars(secondsNow(), step, scalars)));
  }

  close(): void {
    this.#file.close();
  }
}

function secondsNow(): number {
  return Date.now() / 1000;
}

/** Length of the whole events before the first one that is after the step or broken. */
function bytesUpTo(content: Buffer, step: number): number {
  let end = 0;
  for (;;) {
    const record = readRecord(content, end);
    if (record === null || decodeStep(record.data) > step) return end;
    end = record.end;
  }
}
