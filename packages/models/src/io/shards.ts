import { FileError } from '@mixsga/backend';
import { JsonReader } from './json';
import { MAX_NAME_BYTES, MAX_TENSORS, show } from './safetensors-header';
import { JoinedTensors, type TensorSource } from './tensor-source';

const MAX_SHARDS = 1000;
/** Size of an index file: {@link MAX_TENSORS} names of usual length. */
export const MAX_INDEX_BYTES = 50_000_000;

/**
 * The `weight_map` of a model.safetensors.index.json or pytorch_model.bin.index.json.
 * @param where the file's path, for error messages
 * @returns tensor name to the name of a file in the same folder
 * @throws FileError when it is malformed or names a file elsewhere
 */
export function parseShardIndex(bytes: Uint8Array, where: string): Map<string, string> {
  const reader = new JsonReader(bytes);
  const files = new Map<string, string>(); // one string a file, whatever the number of tensors
  let shards: Map<string, string> | null = null;
  try {
    reader.object(
      (key) => {
        if (key !== 'weight_map') return void reader.value(1000, MAX_NAME_BYTES);
        if (!reader.atObject) reader.fail('weight_map to be an object of file names');
        const map = new Map<string, string>();
        reader.object((name) => void map.set(name, shardName(reader.value(1, MAX_NAME_BYTES), name)), MAX_TENSORS, MAX_NAME_BYTES);
        shards = map;
      },
      100,
      MAX_NAME_BYTES,
    );
    reader.end();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new FileError(where, error.message, { cause: error });
  }
  if (shards === null) throw new FileError(where, 'weight_map: expected an object of file names, got nothing');
  return shards;

  function shardName(value: unknown, tensor: string): string {
    const plain = typeof value === 'string' && /^[\w][\w.-]*\.(safetensors|bin)$/.test(value);
    if (!plain) {
      throw new FileError(where, `weight_map: ${show(tensor)}: expected the name of a shard in the same folder, got ${show(value as string)}`);
    }
    const known = files.get(value);
    if (known !== undefined) return known;
    if (files.size === MAX_SHARDS) throw new FileError(where, `weight_map: expected at most ${MAX_SHARDS} shards, got more`);
    files.set(value, value);
    return value;
  }
}

/**
 * The tensors of a checkpoint in shards.
 * @param index tensor name to shard, see {@link parseShardIndex}
 * @param where path of the index, for error messages
 * @param openShard opens a shard by its name, or throws a FileError
 * @throws FileError when a shard is missing or malformed, lacks a tensor that the index puts there, or repeats one of another
 */
export async function openShards(
  index: ReadonlyMap<string, string>, where: string, openShard: (name: string) => Promise<TensorSource>,
): Promise<TensorSource> {
  const shards = new Map<string, TensorSource>();
  try {
    for (const name of [...new Set(index.values())].sort()) shards.set(name, await openShard(name));
    for (const [tensor, shard] of index) {
      if (!shards.get(shard)!.has(tensor)) {
        throw new FileError(where, `expected tensor ${show(tensor)} in ${shard}, and it is not there; is the shard of another checkpoint?`);
      }
    }
    const owner = new Map<string, string>();
    for (const [shard, { tensors }] of shards) {
      for (const tensor of tensors.keys()) {
        const other = owner.get(tensor);
        if (other !== undefined) throw new FileError(where, `tensor ${show(tensor)}: expected it in one shard, got ${other} and ${shard}`);
        owner.set(tensor, shard);
      }
    }
    return new JoinedTensors(where, [...shards.values()]);
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
}
