import { FileError } from '@mixsga/backend';
import { readAll, type ByteSource } from './byte-source';
import { show, tensorBytes, tensorError } from './safetensors-header';
import { FileTensors, type StoredTensor, type TensorSource } from './tensor-source';
import { MAX_PICKLE_BYTES, readStateDict } from './torch-pickle';
import { readZip, type ZipEntry } from './zip';

/**
 * The tensors of a pytorch_model.bin: a zip archive of a pickled state dict and raw storages. Nothing in it is run.
 * @param bytes owned by the result; closed when this throws
 * @throws FileError when it is anything but a state dict of contiguous little-endian float tensors. Two names may share
 * a storage, as tied embeddings do; more may not, since a small file would then stand for a large model
 */
export async function openTorch(bytes: ByteSource): Promise<TensorSource> {
  const { where } = bytes;
  try {
    const entries = await readZip(bytes);
    const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickles.length !== 1) throw new FileError(where, `expected one data.pkl in the archive, got ${pickles.length}; is it from torch.save?`);
    const folder = pickles[0]!.slice(0, -'data.pkl'.length);
    const order = entries.get(`${folder}byteorder`);
    if (order) {
      const text = new TextDecoder().decode(await readEntry(bytes, order, 16));
      if (text !== 'little') throw new FileError(where, `byteorder: expected little, got ${show(text)}; save it on a little-endian machine`);
    }
    const state = readStateDict(await readEntry(bytes, entries.get(pickles[0]!)!, MAX_PICKLE_BYTES), where);
    const users = new Map<string, string[]>();
    const tensors = new Map<string, StoredTensor>();
    for (const [name, { dtype, shape, storage }] of state) {
      const entry = entries.get(`${folder}data/${storage}`);
      if (!entry) throw tensorError(where, name, `expected a storage ${show(storage)} in the archive, and there is none`);
      const expected = tensorBytes(dtype, shape);
      if (entry.size !== expected) throw tensorError(where, name, `expected ${expected} bytes for ${dtype} [${shape.join(', ')}], got ${entry.size}`);
      const sharing = users.get(storage) ?? [];
      if (sharing.length === 2) throw tensorError(where, name, `expected a storage of its own, got that of ${sharing.map(show).join(' and ')}`);
      users.set(storage, [...sharing, name]);
      tensors.set(name, { dtype, shape, where, position: entry.position });
    }
    return new FileTensors(bytes, tensors);
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

async function readEntry(bytes: ByteSource, { position, size }: ZipEntry, limit: number): Promise<Uint8Array> {
  return readAll({ ...bytes, size, readInto: (target, at) => bytes.readInto(target, position + at) }, limit);
}
