import * as tf from '@tensorflow/tfjs-core';
import { expectBackend } from './lifetime';

/** What a function left behind. */
export interface TensorGrowth<T> {
  readonly result: T;
  /** Tensors alive after it that were not before; negative when it disposed older ones. */
  readonly tensors: number;
  /** Bytes of their contents. */
  readonly bytes: number;
  /** Buffers of the active backend, which a kernel may leak without any tensor. */
  readonly buffers: number;
}

/**
 * Runs a function and counts the tensors and bytes that it left behind. The active backend must stay the same; other
 * tensor work that runs while the function waits is counted too.
 * Rejects with a BackendError when no backend is started.
 */
export async function trackTensors<T>(f: () => T | Promise<T>): Promise<TensorGrowth<T>> {
  expectBackend('trackTensors');
  const before = count();
  const result = await f();
  const after = count();
  return {
    result,
    tensors: after.tensors - before.tensors,
    bytes: after.bytes - before.bytes,
    buffers: after.buffers - before.buffers,
  };
}

function count(): { tensors: number; bytes: number; buffers: number } {
  const { numTensors, numBytes } = tf.memory();
  return { tensors: numTensors, bytes: numBytes, buffers: tf.engine().backend.numDataIds() };
}
