import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOutOfMemory, OutOfMemoryError } from '../out-of-memory';
import { startBackend } from '../platform/index';
import { address, memoryOf, type WasmBackend } from './heap';

/*
 * A heap that is full: its 4 GiB are taken, without a byte of them being written, which a system gives without having them. This is a
 * file, and so a process, of its own: what failed to be allocated stays behind in the allocator.
 */

let backend: WasmBackend;
const taken: { start: number; bytes: number }[] = [];

beforeAll(async () => {
  await startBackend('wasm');
  backend = tf.backend() as WasmBackend;
  for (let bytes = 2 ** 30; bytes >= 2 ** 12; bytes /= 2) {
    for (let i = 0; i < 8; i++) {
      try {
        taken.push({ start: backend.wasm._malloc(bytes), bytes });
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemoryError);
        expect((error as Error).message).toBe(`wasm: no memory left for ${bytes} bytes; use a smaller batch or a shorter sequence`);
        break;
      }
    }
  }
});
afterAll(() => taken.forEach(({ start }) => backend.wasm._free(start)));

describe('a full heap', () => {
  it('has given no byte twice, and none beyond its end', () => {
    const ranges = taken.map(({ start, bytes }) => ({ start: start >>> 0, end: (start >>> 0) + bytes })).sort((a, b) => a.start - b.start);
    for (const [i, { end }] of ranges.entries()) expect(end).toBeLessThanOrEqual(ranges[i + 1]?.start ?? memoryOf(backend)!.buffer.byteLength);
  });

  it.each<[string, () => tf.Tensor]>([
    ['new tensors', () => tf.ones([100, 100])],
    ['kernels of tfjs', () => tf.add(tf.ones([2]), tf.ones([3000, 1]))],
    ['kernels of this package', () => tf.matMul(tf.ones([2, 2]), tf.ones([2, 5000]))],
  ])('%s say that memory is used up, and compute nothing', (_, make) => {
    const error = (() => {
      try {
        return tf.tidy(() => make().dataSync());
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(isOutOfMemory(error)).toBe(true);
  });

  it('goes on once something is freed', () => {
    for (const { start } of taken.splice(0)) backend.wasm._free(start);
    const sum = tf.add(tf.tensor1d([1, 2]), tf.scalar(1));
    expect([...sum.dataSync()]).toEqual([2, 3]);
    expect(address(backend, sum)).not.toBe(0);
  });
});

describe('isOutOfMemory', () => {
  it('knows what engines say', () => {
    const make = () => new ArrayBuffer(2 ** 53 - 1);
    expect(make).toThrow(RangeError);
    try {
      make();
    } catch (error) {
      expect(isOutOfMemory(error)).toBe(true);
    }
    try {
      new WebAssembly.Memory({ initial: 1, maximum: 1 }).grow(1);
    } catch (error) {
      expect(isOutOfMemory(error)).toBe(true);
    }
    expect(isOutOfMemory(new Error('not finite'))).toBe(false);
  });
});
