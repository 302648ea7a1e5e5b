import { FileError } from '@mixsga/backend';
import type { CheckpointFiles } from '../io/checkpoint-files';
import type { ProgressMeter } from './progress';
import type { HubFile } from './repository';

/** Where the files of a model of the hub are kept: a folder in Node, the Cache API in a browser. */
export interface ModelCache {
  /** Path or address, for error messages. */
  readonly where: string;
  /** The commit that the revision had when it was last fetched whole, or null. */
  commit(): Promise<string | null>;
  /** Remembers which commit the revision is. */
  setCommit(commit: string): Promise<void>;
  /** The files of a commit that are here and whole. */
  files(commit: string): Promise<CheckpointFiles>;
  /**
   * Brings a file here. What is here is kept, a connection that is cut is made again from where it was, and nothing appears before
   * its hash is right.
   * @throws FileError when the hub refuses, the connection fails, the hash is wrong or the disk is full
   */
  fetch(file: HubFile, commit: string, meter: ProgressMeter, signal: AbortSignal | undefined): Promise<void>;
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

export function wrongContent(url: string, { hash }: HubFile): FileError {
  return new FileError(url, `expected content of the hash ${hash}, got another; nothing was kept, run again`);
}
