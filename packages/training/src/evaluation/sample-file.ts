import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import type { SampleStore } from '@mixsga/evaluators';

import { AppendFile } from '../metrics/append-file';
import { firstDifference } from '../run/run-folder';

const SCHEMA = 'mixsga/samples@1';

/** What samples are of. Samples of other settings are never resumed. Plain data that JSON can hold. */
export interface SampleHeader {
  readonly task: string;
  /** Of the evaluator. */
  readonly version: number;
  /** What else its numbers follow from: model, data, options. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Where the samples of an unfinished task stand. */
export function sampleFilePath(folder: string, task: string): string {
  return join(folder, `${task}.jsonl`);
}

/**
 * The samples of an unfinished task, as JSON Lines: what they are of, then a sample a line. A kill at any moment loses at most
 * the samples of the batch under way.
 */
export class SampleFile<Sample extends object> implements SampleStore<Sample> {
  readonly #path: string;
  readonly #first: string;
  readonly #finished: readonly Sample[];
  /** Bytes of the file that stay. */
  readonly #kept: number;
  /** From the first samples on, so that a run that finishes none leaves nothing. */
  #file: AppendFile | undefined;

  /**
   * Reads what there is. Writes nothing.
   *
   * @param resume whether to go on from samples that the file holds; without, a file that holds some is refused
   * @throws ArgumentError when there are samples and `resume` is false, or they are of other settings, saying which
   * @throws FileError when the file cannot be read, or holds something else
   */
  constructor(path: string, header: SampleHeader, resume: boolean) {
    this.#path = path;
    this.#first = `${JSON.stringify({ schema: SCHEMA, ...header })}\n`;
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    // A line that a kill left half-written has no end.
    const lines = content.subarray(0, content.lastIndexOf('\n') + 1);
    const [head, ...rows] = lines.toString('utf8').split('\n').slice(0, -1).map((line, i) => parseLine(path, line, i + 1));
    if (head !== undefined) expectSchema(path, head);
    if (rows.length > 0) expectSame(path, head!, JSON.parse(this.#first) as object, resume, rows.length);
    this.#finished = rows as Sample[];
    this.#kept = rows.length > 0 ? lines.length : 0;
  }

  load(): Promise<readonly Sample[]> {
    return Promise.resolve(this.#finished);
  }

  /** @throws FileError when the file cannot be written */
  append(samples: readonly Sample[]): Promise<void> {
    const lines = samples.map((sample) => `${JSON.stringify(sample)}\n`);
    if (this.#file === undefined) {
      this.#file = new AppendFile(this.#path, () => this.#kept);
      if (this.#kept === 0) lines.unshift(this.#first);
    }
    this.#file.append(Buffer.from(lines.join('')));
    return Promise.resolve();
  }

  close(): void {
    this.#file?.close();
  }
}

function parseLine(path: string, line: string, number: number): object {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // told below
  }
  throw new FileError(path, `line ${number}: expected a JSON object, got ${line.slice(0, 60)}; remove the file to start anew`);
}

function expectSchema(path: string, head: object): void {
  const { schema } = head as { schema?: unknown };
  if (schema === SCHEMA) return;
  throw new FileError(path, `expected samples of ${SCHEMA}, got ${JSON.stringify(schema)}; remove the file to start anew`);
}

function expectSame(path: string, head: object, asked: object, resume: boolean, samples: number): void {
  if (!resume) {
    throw new ArgumentError(`${path}: holds ${samples} finished samples; add --resume to go on from them, or give another --out`);
  }
  const difference = firstDifference(head, asked, '');
  if (difference !== undefined) {
    throw new ArgumentError(`${path}: holds samples of other settings: ${difference}; give the same, or another --out`);
  }
}
