import { expectOptions, FileError } from '@mixsga/backend';
import { DOWNLOAD_OPTIONS, downloadModel, type DownloadOptions } from '../hub/snapshot';
import { folderFiles, listedFiles, openTensors, readConfig, readFile, type CheckpointFiles, type FileReference } from '../io/checkpoint-files';
import { isNode } from '../io/environment';
import type { JsonValue } from '../io/json';
import { stoppableTensors } from '../io/stoppable-tensors';
import type { TensorSource } from '../io/tensor-source';
import { MAX_TOKENIZER_BYTES, readTokenizerFiles, type TokenizerContent } from '../tokenizers/tokenizer-files';
import { resolveModel } from '../zoo';

/** A checkpoint whose files are known and whose tensors can be read. */
export interface OpenCheckpoint {
  /** Folder, or address on the hub, for error messages. */
  readonly where: string;
  /** config.json, of any content. */
  readonly config: JsonValue;
  /** Its path or address. */
  readonly configWhere: string;
  /** Owned by the caller: `tensors.close()`. */
  readonly tensors: TensorSource;
  /** Names of all its files. */
  readonly files: readonly string[];
  /**
   * The tokenizer: its tokenizer.json, or one made of vocab.json and merges.txt, and tokenizer_config.json.
   * @throws FileError when there is none of a form that can be read, or a file is malformed
   */
  tokenizer(): Promise<TokenizerContent>;
  /** The bytes of a file beside the weights, or null when there is none. @throws FileError when it cannot be read */
  file(name: string): Promise<Uint8Array | null>;
}

/**
 * Opens a checkpoint. No tensor is read.
 * @param source a folder, the name of a shipped model, "organisation/name[@revision]" of the hub, or (in browsers too) its files
 * as Blobs or addresses: config.json, the weights with the index of their shards, and the tokenizer's
 * @throws ArgumentError when there is no such model
 * @throws FileError when a file is missing or malformed, or the hub does not give it
 */
export async function openCheckpoint(source: string | readonly FileReference[], options: DownloadOptions = {}): Promise<OpenCheckpoint> {
  expectOptions('openCheckpoint', options, DOWNLOAD_OPTIONS);
  const files = await checkpointFiles(source, options);
  return openFiles(files, await readConfig(files, 'config.json'), options.signal);
}

/** The files of what {@link openCheckpoint} takes. @throws the same */
export async function checkpointFiles(source: string | readonly FileReference[], options: DownloadOptions): Promise<CheckpointFiles> {
  const files = await filesOf(source, options);
  if (files.names.includes('config.json')) return files;
  throw new FileError(files.where, `expected config.json among its files, got ${files.names.slice(0, 10).join(', ') || 'none'}`);
}

/** {@link openCheckpoint} of files whose config.json is read. @param signal aborts also between two tensors */
export async function openFiles(files: CheckpointFiles, config: JsonValue, signal?: AbortSignal): Promise<OpenCheckpoint> {
  return {
    where: files.where,
    config,
    configWhere: files.path('config.json'),
    tensors: stoppableTensors(await openTensors(files), signal),
    files: files.names,
    tokenizer: () => readTokenizerFiles(files),
    file: async (name) => (files.names.includes(name) ? readFile(files, name, MAX_TOKENIZER_BYTES) : null),
  };
}

async function filesOf(source: string | readonly FileReference[], options: DownloadOptions): Promise<CheckpointFiles> {
  if (typeof source !== 'string') return listedFiles(source, { signal: options.signal });
  if (!isNode()) return downloadModel(source, options);
  return folderFiles((await resolveModel(source, options)).directory);
}
