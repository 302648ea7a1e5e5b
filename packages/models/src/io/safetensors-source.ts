import type { ByteSource } from './byte-source';
import { headerLength, parseHeader } from './safetensors-header';
import { FileTensors, type TensorSource } from './tensor-source';

/**
 * The tensors of a safetensors file, of which only the header is read now.
 * @param bytes owned by the result; closed when this throws
 * @throws FileError naming the file, the tensor, what was expected and what was got
 */
export async function openSafetensors(bytes: ByteSource): Promise<TensorSource> {
  const { where, size } = bytes;
  try {
    const first = new Uint8Array(Math.min(8, size));
    await bytes.readInto(first, 0);
    const header = new Uint8Array(headerLength(first, size, where));
    await bytes.readInto(header, 8);
    const start = 8 + header.length;
    const places = parseHeader(header, size - start, where);
    return new FileTensors(
      bytes,
      new Map([...places].map(([name, { dtype, shape, begin }]) => [name, { dtype, shape, where, position: start + begin }])),
    );
  } catch (error) {
    await bytes.close();
    throw error;
  }
}
