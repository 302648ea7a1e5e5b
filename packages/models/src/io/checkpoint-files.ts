import { FileError } from '@mixsga/backend';
import { blobSource, openFile, openUrl, readAll, type ByteSource } from './byte-source';
import { asFileError } from './fs';
import type { HttpOptions } from './http';
import { MAX_CONFIG_BYTES, parseStrictJson, type JsonValue } from './json';
import { openSafetensors } from './safetensors-source';
import { MAX_INDEX_BYTES, openShards, parseShardIndex } from './shards';
import type { TensorSource } from './tensor-source';
import { openTorch } from './torch-source';

/** The files of a checkpoint, wherever they are. */
export interface CheckpointFiles {
  /** Path, id or address of them all, for error messages. */
  readonly where: string;
  readonly names: readonly string[];
  /** Path or address of a file. */
  path(name: string): string;
  /** @throws FileError when the file is missing or cannot be read */
  open(name: string): Promise<ByteSource>;
}

/** A file for a browser: chosen by a user, fetched, or to be fetched. */
export type FileReference = File | { readonly name: string; readonly blob: Blob } | string | URL;

/** The files of a folder (Node). @throws FileError when there is no such folder */
export async function folderFiles(folder: string): Promise<CheckpointFiles> {
  const { readdir } = await import('node:fs/promises');
  const names = await readdir(folder).catch((error: unknown) => {
    throw asFileError(folder, error, 'read');
  });
  const path = (name: string) => `${folder}/${name}`;
  return { where: folder, names, path, open: (name) => openFile(path(name)) };
}

/**
 * Files given one by one; an address counts by the last part of its path.
 * @throws FileError when two have the same name
 */
export function listedFiles(references: readonly FileReference[], options: HttpOptions = {}): CheckpointFiles {
  const files = new Map<string, FileReference>();
  for (const reference of references) {
    const isAddress = typeof reference === 'string' || reference instanceof URL;
    const name = isAddress ? decodeURIComponent(new URL(reference).pathname.split('/').pop()!) : reference.name;
    if (files.has(name)) throw new FileError(name, 'expected each file once, got it twice');
    files.set(name, reference);
  }
  const path = (name: string): string => {
    const reference = files.get(name);
    return typeof reference === 'string' || reference instanceof URL ? String(reference) : name;
  };
  return {
    where: 'the files given',
    names: [...files.keys()],
    path,
    async open(name) {
      const reference = files.get(name);
      if (reference === undefined) throw new FileError(name, `expected it among the files given, got ${[...files.keys()].join(', ')}`);
      if (typeof reference === 'string' || reference instanceof URL) return openUrl(String(reference), options);
      return blobSource('blob' in reference ? reference.blob : reference, name);
    },
  };
}

/** The file of weights to read: safetensors before pickles, whole files before shards. */
const WEIGHTS = ['model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin', 'pytorch_model.bin.index.json'] as const;

/** @throws FileError when there is none of the names */
export function weightsFile(names: readonly string[], where: string): (typeof WEIGHTS)[number] {
  const found = WEIGHTS.find((name) => names.includes(name));
  if (found) return found;
  const others = names.filter((name) => /\.(safetensors|bin|gguf|pt|pth|h5|msgpack)$/.test(name)).join(', ');
  throw new FileError(where, `expected weights in one of ${WEIGHTS.join(', ')}, got ${others || 'none'}; convert the checkpoint to safetensors`);
}

/**
 * The tensors of a checkpoint.
 * @throws FileError when a file is missing or malformed, or a shard does not hold what the index says
 */
export async function openTensors(files: CheckpointFiles): Promise<TensorSource> {
  const name = weightsFile(files.names, files.where);
  const open = async (file: string) => (file.endsWith('.bin') ? openTorch : openSafetensors)(await files.open(file));
  if (!name.endsWith('.json')) return open(name);
  const index = parseShardIndex(await readFile(files, name, MAX_INDEX_BYTES), files.path(name));
  const absent = [...new Set(index.values())].find((shard) => !files.names.includes(shard));
  if (absent !== undefined) throw new FileError(files.path(absent), `expected a shard that ${name} lists, and there is none; fetch it again`);
  return openShards(index, files.path(name), open);
}

/**
 * A JSON file, strictly read: a key given twice is refused.
 * @returns null when there is none of that name
 * @throws FileError when it is malformed or larger than a configuration
 */
export async function readConfig(files: CheckpointFiles, name: string): Promise<JsonValue> {
  if (!files.names.includes(name)) return null;
  try {
    return parseStrictJson(await readFile(files, name, MAX_CONFIG_BYTES));
  } catch (error) {
    if (error instanceof SyntaxError) throw new FileError(files.path(name), error.message, { cause: error });
    throw error;
  }
}

/** The whole of a file. @throws FileError when it is larger than `limit` */
export async function readFile(files: CheckpointFiles, name: string, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const source = await files.open(name);
  try {
    return await readAll(source, limit);
  } finally {
    await source.close();
  }
}
