import { FileError } from '@mixsga/backend';
import type { ByteSource } from './byte-source';
import { BYTES_PER_VALUE, show, tensorError } from './safetensors-header';
import { MAX_PICKLE_BYTES, readFlag, readStateDict, readStrings, type FindStorage, type TorchTensor } from './torch-pickle';

/*
 * What torch.save wrote before PyTorch 1.6: pickles of a magic number, a version, facts of the machine, the state dict and the names
 * of storages, then each storage as a count of values (8 bytes, little-endian) and the values.
 */

const MAGIC = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
/** 1001, the only one that there was. */
const VERSION = [0x80, 2, 0x4d, 0xe9, 3, 0x2e];
export const LEGACY_MAGIC_BYTES = MAGIC.length;

export function isLegacyTorch(first: Uint8Array): boolean {
  return MAGIC.every((byte, i) => first[i] === byte);
}

/** @throws FileError when it is anything but a state dict of little-endian tensors */
export async function readLegacyTorch(bytes: ByteSource): Promise<{ state: Map<string, TorchTensor>; find: FindStorage }> {
  const { where } = bytes;
  const head = new Uint8Array(Math.min(bytes.size, MAX_PICKLE_BYTES));
  await bytes.readInto(head, 0);
  if (!VERSION.every((byte, i) => head[MAGIC.length + i] === byte)) {
    throw new FileError(where, `expected version 1001 of the format before PyTorch 1.6 at byte ${MAGIC.length}, got another; save it as safetensors`);
  }
  const machine = readFlag(head, where, 'facts of the machine', MAGIC.length + VERSION.length, 'little_endian');
  if (machine.value === false) throw new FileError(where, 'little_endian: expected true, got false; save it on a little-endian machine');
  const state = readStateDict(head, where, 'state dict', machine.end);
  const keys = readStrings(head, where, 'names of storages', state.end);
  const places = await readStorages(bytes, state.value, keys.value, keys.end);
  const find: FindStorage = ({ key, dtype, count }, name) => {
    const place = places.get(key);
    if (!place) throw tensorError(where, name, `expected a storage ${show(key)} in the file, and there is none`);
    const [got, expected] = [place.bytes, count * BYTES_PER_VALUE[dtype]];
    if (got !== expected) throw tensorError(where, name, `expected ${expected} bytes for ${count} values of ${dtype}, got ${got}`);
    return place.position;
  };
  return { state: state.value, find };
}

async function readStorages(
  bytes: ByteSource, state: ReadonlyMap<string, TorchTensor>, keys: readonly string[], start: number,
): Promise<Map<string, { position: number; bytes: number }>> {
  const { where, size } = bytes;
  // A storage of which nothing is a view has no type, so that its size is not known.
  const types = new Map([...state.values()].map(({ storage }) => [storage.key, storage.dtype]));
  const places = new Map<string, { position: number; bytes: number }>();
  const count = new Uint8Array(8);
  let at = start;
  for (const key of keys) {
    const dtype = types.get(key);
    if (dtype === undefined || places.has(key)) throw new FileError(where, `storage ${show(key)}: expected it once, for a tensor, got ${dtype ? 'it twice' : 'none of it'}`);
    if (at + 8 > size) throw new FileError(where, `storage ${show(key)}: expected it before byte ${size}, got the end; the file is cut short, fetch it again`);
    await bytes.readInto(count, at);
    const length = Number(new DataView(count.buffer).getBigUint64(0, true)) * BYTES_PER_VALUE[dtype];
    at += 8;
    if (length > size - at) {
      throw new FileError(where, `storage ${show(key)}: expected at most ${size - at} bytes, got ${length}; the file is cut short, fetch it again`);
    }
    places.set(key, { position: at, bytes: length });
    at += length;
  }
  if (at !== size) throw new FileError(where, `expected the end after the storages at byte ${at}, got ${size - at} bytes more`);
  return places;
}
