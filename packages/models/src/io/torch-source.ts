import { FileError } from '@mixsga/backend';
import { readAll, type ByteSource } from './byte-source';
import { BYTES_PER_VALUE, show, tensorError } from './safetensors-header';
import { isContiguous, spanOf } from './strided';
import { FileTensors, type StoredTensor, type TensorSource } from './tensor-source';
import { isLegacyTorch, LEGACY_MAGIC_BYTES, readLegacyTorch } from './torch-legacy';
import { MAX_PICKLE_BYTES, readStateDict, type FindStorage, type TorchTensor } from './torch-pickle';
import { readZip, type ZipEntry } from './zip';

/** Names that may have all of a storage, as tied embeddings do. */
const MAX_SHARING = 2;
/** Times that strided views may span a storage, as the column blocks of a fused matrix do. */
const MAX_SPANNING = 64;

/**
 * The tensors of a pytorch_model.bin: a pickled state dict and raw storages, in a zip archive or, before PyTorch 1.6, one after
 * another. Nothing in it is run.
 * @param bytes owned by the result; closed when this throws
 * @throws FileError when it is anything but a state dict of little-endian tensors. Views of a storage together have at most twice its
 * values, since a small file would else stand for a large model
 */
export async function openTorch(bytes: ByteSource): Promise<TensorSource> {
  try {
    const first = new Uint8Array(Math.min(LEGACY_MAGIC_BYTES, bytes.size));
    await bytes.readInto(first, 0);
    const { state, find } = await (isLegacyTorch(first) ? readLegacyTorch : readTorchArchive)(bytes);
    return new FileTensors(bytes, placed(state, find, bytes.where));
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

async function readTorchArchive(bytes: ByteSource): Promise<{ state: Map<string, TorchTensor>; find: FindStorage }> {
  const { where } = bytes;
  const entries = await readZip(bytes);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw new FileError(where, `expected one data.pkl in the archive, got ${pickles.length}; is it from torch.save?`);
  const folder = pickles[0]!.slice(0, -'data.pkl'.length);
  const order = entries.get(`${folder}byteorder`);
  if (order) {
    const text = new TextDecoder().decode(await readEntry(bytes, order, 16));
    if (text !== 'little') throw new FileError(where, `byteorder: expected little, got ${show(text)}; save it on a little-endian machine`);
  }
  const { value: state } = readStateDict(await readEntry(bytes, entries.get(pickles[0]!)!, MAX_PICKLE_BYTES), where);
  const find: FindStorage = ({ key, dtype, count }, name) => {
    const entry = entries.get(`${folder}data/${key}`);
    if (!entry) throw tensorError(where, name, `expected a storage ${show(key)} in the archive, and there is none`);
    const expected = count * BYTES_PER_VALUE[dtype];
    if (entry.size !== expected) throw tensorError(where, name, `expected ${expected} bytes for ${count} values of ${dtype}, got ${entry.size}`);
    return entry.position;
  };
  return { state, find };
}

async function readEntry(bytes: ByteSource, { position, size }: ZipEntry, limit: number): Promise<Uint8Array> {
  return readAll({ ...bytes, size, readInto: (target, at) => bytes.readInto(target, position + at) }, limit);
}

/** Where each tensor lies in the file. */
function placed(state: ReadonlyMap<string, TorchTensor>, find: FindStorage, where: string): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  /** By storage: values of its tensors, and values that strided ones span. */
  const used = new Map<string, { values: number; spanned: number }>();
  for (const [name, tensor] of state) {
    const { storage, offset, shape, strides } = tensor;
    const start = find(storage, name);
    const use = used.get(storage.key) ?? { values: 0, spanned: 0 };
    const isPlain = isContiguous(tensor);
    use.values += shape.reduce((product, n) => product * n, 1);
    if (!isPlain) use.spanned += spanOf(tensor);
    if (use.values > MAX_SHARING * storage.count || use.spanned > MAX_SPANNING * storage.count) {
      throw tensorError(where, name, `expected a storage of its own, got ${show(storage.key)}, of which others have all; save it from a clone`);
    }
    used.set(storage.key, use);
    const { dtype } = storage;
    tensors.set(name, { dtype, shape, where, position: start + offset * BYTES_PER_VALUE[dtype], ...(!isPlain && { strides }) });
  }
  return tensors;
}
