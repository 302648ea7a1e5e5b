import { FileError } from '@mixsga/backend';
import type { ByteSource } from './byte-source';
import type { ParameterSource } from './parameter-source';
import type { SafetensorsEntry } from './safetensors';
import { BYTES_PER_VALUE, show, tensorBytes, tensorError, type SafetensorsDtype } from './safetensors-header';
import { gather, spanOf } from './strided';
import { isReadable, READABLE, readWidened, widened } from './widen';

/** What is known of a tensor before it is read. */
export interface TensorInfo {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Path or address of the file that holds it, for error messages. */
  readonly where: string;
}

/** The tensors of a checkpoint, in one file or many. Nothing of a tensor is in memory but while it is read. */
export interface TensorSource extends ParameterSource {
  /** Path or address of the checkpoint's file or index, for error messages. */
  readonly where: string;
  /** Every tensor by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * The values of an F32, F16, BF16 or F64 tensor as float32, row-major, in memory of the caller's own.
   * @throws FileError when there is no such tensor, it holds integers, or it cannot be read
   */
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The bytes of a tensor as they are stored: row-major, little-endian. @throws FileError as {@link read} */
  readRaw(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Lets the files go. */
  close(): Promise<void>;
}

/** Where a tensor's bytes lie. */
export interface StoredTensor extends TensorInfo {
  /** First byte in the file. */
  readonly position: number;
  /** Elements between neighbours in each dimension, of a tensor that does not lie row by row. */
  readonly strides?: readonly number[] | undefined;
}

/** Values that are widened at a time. */
const WIDEN_CHUNK = 2 ** 20;

/** The tensors of one file, given where each lies. Owns `bytes`. */
export class FileTensors implements TensorSource {
  readonly where: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #bytes: ByteSource;

  constructor(bytes: ByteSource, tensors: ReadonlyMap<string, StoredTensor>) {
    this.where = bytes.where;
    this.tensors = tensors;
    this.#bytes = bytes;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    const { dtype, shape, position, strides } = this.#find(name);
    if (!isReadable(dtype)) throw notFloat(this.where, name, dtype);
    if (strides) return widened(dtype, (await this.readRaw(name)).buffer);
    const count = shape.reduce((product, n) => product * n, 1);
    return readWidened(dtype, count, WIDEN_CHUNK, (target, at) => this.#bytes.readInto(target, position + at));
  }

  async readRaw(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { dtype, shape, position, strides } = this.#find(name);
    const size = BYTES_PER_VALUE[dtype];
    const raw = new Uint8Array(strides ? size * spanOf({ shape, strides }) : tensorBytes(dtype, shape));
    await this.#bytes.readInto(raw, position);
    return strides ? gather(raw, { shape, strides }, size) : raw;
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }

  #find(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw missing(this.where, name);
    return tensor;
  }
}

/** Several sources as one. No name may be in two of them; {@link openShards} sees to that. */
export class JoinedTensors implements TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #owner = new Map<string, TensorSource>();

  constructor(
    readonly where: string,
    private readonly parts: readonly TensorSource[],
  ) {
    const tensors = new Map<string, TensorInfo>();
    for (const part of parts) {
      for (const [name, info] of part.tensors) {
        tensors.set(name, info);
        this.#owner.set(name, part);
      }
    }
    this.tensors = tensors;
  }

  has(name: string): boolean {
    return this.#owner.has(name);
  }

  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    return this.#find(name).read(name);
  }

  async readRaw(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#find(name).readRaw(name);
  }

  async close(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.close()));
  }

  #find(name: string): TensorSource {
    const owner = this.#owner.get(name);
    if (!owner) throw missing(this.where, name);
    return owner;
  }
}

/** Tensors in memory. */
export function memoryTensors(entries: ReadonlyMap<string, SafetensorsEntry>, where: string): TensorSource {
  const find = (name: string): SafetensorsEntry => {
    const entry = entries.get(name);
    if (!entry) throw missing(where, name);
    return entry;
  };
  return {
    where,
    tensors: new Map([...entries].map(([name, { dtype, shape }]) => [name, { dtype, shape, where }])),
    has: (name) => entries.has(name),
    async read(name) {
      const { dtype, data } = find(name);
      if (!isReadable(dtype)) throw notFloat(where, name, dtype);
      return widened(dtype, new Uint8Array(data).buffer);
    },
    readRaw: async (name) => new Uint8Array(find(name).data),
    close: async () => undefined,
  };
}

function missing(where: string, name: string): FileError {
  return new FileError(where, `expected a tensor ${show(name)}, and there is none`);
}

function notFloat(where: string, name: string, dtype: string): FileError {
  return tensorError(where, name, `expected ${READABLE}, got ${dtype}`);
}
