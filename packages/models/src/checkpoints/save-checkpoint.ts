// Writing a checkpoint as Hugging Face tools read it (Node).
import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import { configText } from '../config/write';
import { removeLeftovers, temporaryPath, writeSynced } from '../io/atomic';
import { makeFolder, orFileError } from '../io/fs';
import { encodeHeader, inFileOrder, show, tensorBytes, type SafetensorsDtype } from '../io/safetensors-header';
import { fromFloat32, type FloatDtype } from '../io/safetensors';
import { renameAll } from '../io/unfinished';
import { isReadable } from '../io/widen';
import type { TensorSource } from '../io/tensor-source';
import { withTokenizerConfig } from '../tokenizers/tokenizer-config';

export interface CheckpointContent {
  /** What config.json says. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Read one by one; not closed. */
  readonly tensors: TensorSource;
  /** Files to write beside them, by name: tokenizer.json, … A tokenizer_config.json is made for a tokenizer.json that has none. */
  readonly files?: ReadonlyMap<string, Uint8Array | string>;
}

export interface SaveOptions {
  /** Element type of the weights; default each its own. Integers stay what they are. */
  readonly dtype?: FloatDtype;
  /** Bytes of tensors above which there are shards and an index. Default 5 GB. A larger tensor has a shard of its own. */
  readonly maxShardBytes?: number;
}

const CONTENT: OptionNames<CheckpointContent> = { config: true, tensors: true, files: true };
export const SAVE_OPTIONS: OptionNames<SaveOptions> = { dtype: true, maxShardBytes: true };

interface PlannedTensor {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** What a checkpoint of ours would leave beside a new one, were it not removed. */
const STALE = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;

/**
 * Writes a checkpoint into a folder, over one that is there. Everything is written under temporary names first. Then config.json
 * and the old weights go, and the new files get their names, config.json the last: at no moment is there a mixture of the two, nor a
 * part, that could be taken for a model; of a process that is killed in between, {@link removeUnfinished} knows the files. When writing fails, as on a full disk, the old checkpoint is whole and nothing of the new
 * is left.
 * @throws ArgumentError when maxShardBytes is no size or a file's name is not of this folder; FileError when it cannot be written
 */
export async function saveCheckpoint(folder: string, content: CheckpointContent, options: SaveOptions = {}): Promise<void> {
  expectOptions('saveCheckpoint', content, CONTENT);
  expectOptions('saveCheckpoint', options, SAVE_OPTIONS);
  const { config, tensors, files } = content;
  const { dtype, maxShardBytes = 5e9 } = options;
  if (!(maxShardBytes > 0)) throw new ArgumentError(`saveCheckpoint: expected maxShardBytes above 0, got ${maxShardBytes}`);
  for (const name of files?.keys() ?? []) {
    if (!/^[\w][\w.-]*$/.test(name) || name === 'config.json' || STALE.test(name)) {
      throw new ArgumentError(`saveCheckpoint: expected the name of a file beside the model, got ${show(name)}`);
    }
  }
  const { readdir, rm } = await import('node:fs/promises');
  const written: { temporary: string; name: string }[] = [];
  const stage = async (name: string, write: (path: string) => Promise<void>) => {
    const temporary = await temporaryPath(`${folder}/${name}`);
    written.push({ temporary, name });
    await write(temporary);
  };
  const write = async () => {
    await makeFolder(folder);
    await removeLeftovers(folder);
    const shards = planShards(tensors, dtype, maxShardBytes);
    for (const [name, shard] of shards) await stage(name, (path) => writeShard(path, shard, tensors));
    for (const [name, content] of withTokenizerConfig(files ?? new Map(), config)) await stage(name, (path) => writeSynced(path, content));
    if (shards.size > 1) await stage('model.safetensors.index.json', (path) => writeSynced(path, shardIndex(shards)));
    await stage('config.json', (path) => writeSynced(path, configText(config)));

    await renameAll(folder, written, async () => {
      await rm(`${folder}/config.json`, { force: true });
      for (const name of await readdir(folder)) if (STALE.test(name)) await rm(`${folder}/${name}`, { force: true });
    });
  };
  try {
    await orFileError(folder, 'write', write);
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    throw error;
  }
}

/** Name of a shard to its tensors, in the order of the source. */
function planShards(tensors: TensorSource, dtype: FloatDtype | undefined, maxShardBytes: number): Map<string, Map<string, PlannedTensor>> {
  const shards: Map<string, PlannedTensor>[] = [new Map()];
  let bytes = 0;
  for (const [name, info] of tensors.tensors) {
    const isFloat = isReadable(info.dtype);
    const planned = { dtype: isFloat && dtype ? dtype : info.dtype, shape: info.shape };
    const size = tensorBytes(planned.dtype, planned.shape);
    if (bytes + size > maxShardBytes && shards.at(-1)!.size > 0) {
      shards.push(new Map());
      bytes = 0;
    }
    bytes += size;
    shards.at(-1)!.set(name, planned);
  }
  if (shards.length === 1) return new Map([['model.safetensors', shards[0]!]]);
  const number = (n: number) => String(n).padStart(5, '0');
  return new Map(shards.map((shard, i) => [`model-${number(i + 1)}-of-${number(shards.length)}.safetensors`, shard]));
}

function shardIndex(shards: ReadonlyMap<string, ReadonlyMap<string, PlannedTensor>>): string {
  let total = 0;
  const entries: [string, string][] = [];
  for (const [file, shard] of shards) {
    for (const [name, { dtype, shape }] of shard) {
      total += tensorBytes(dtype, shape);
      entries.push([name, file]);
    }
  }
  const lines = entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  return `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`;
}

/** Writes a safetensors file, with one tensor in memory at a time, and waits until the disk has it. */
async function writeShard(path: string, shard: ReadonlyMap<string, PlannedTensor>, tensors: TensorSource): Promise<void> {
  const { open } = await import('node:fs/promises');
  const order = inFileOrder(shard);
  const file = await open(path, 'wx');
  try {
    await file.writeFile(encodeHeader(order, { format: 'pt' }));
    for (const [name, { dtype, shape }] of order) {
      const same = tensors.tensors.get(name)!.dtype === dtype;
      await file.writeFile(same ? await tensors.readRaw(name) : fromFloat32(await tensors.read(name), shape, dtype as FloatDtype).data);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
