import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { alignedTo, CACHE_LINE } from '../../wasm/heap';
import type { WasmHeap } from '../../wasm/kernel';
import type { Resident } from '../runtime';

/**
 * A piece of the wasm heap that stays where it is and begins at a cache line, for which up to {@link CACHE_LINE} bytes more are
 * taken. A tensor holds it, so that tfjs counts it.
 */
export class Block implements Resident {
  readonly #address: number;
  readonly #tensor: Tensor;

  /** Undefined contents. @throws BackendError when the heap is full */
  constructor(
    heap: WasmHeap,
    readonly bytes: number,
  ) {
    const info = heap.output([Math.ceil((bytes + CACHE_LINE) / 4)]);
    this.#tensor = tf.keep(tf.engine().makeTensorFromTensorInfo(info));
    this.#address = alignedTo(heap.address(info));
  }

  /** @throws ArgumentError when it is disposed: others have the memory then */
  get address(): number {
    if (this.#tensor.isDisposed) throw new ArgumentError('wasm: expected weights and buffers that are not disposed, got one that is; pack or make them again');
    return this.#address;
  }

  dispose(): void {
    this.#tensor.dispose();
  }
}

/** A block with float32 values. */
export function blockOf(heap: WasmHeap, values: Float32Array): Block {
  const block = new Block(heap, 4 * values.length);
  heap.floats(block.address, values.length).set(values);
  return block;
}

/** Makes several things; when one cannot be made, those before it are freed again. */
export function allOrNone<T extends Resident>(makers: readonly (() => T)[]): T[] {
  const made: T[] = [];
  try {
    for (const make of makers) made.push(make());
  } catch (error) {
    for (const resident of made) resident.dispose();
    throw error;
  }
  return made;
}
