import type { Tensor } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../errors';
import { expectBackend } from '../platform/lifetime';

/** Throws an ArgumentError unless the shape of `tensor` is `expected`, where null stands for any size. */
export function expectShape(operation: string, argument: string, tensor: Tensor, expected: (number | null)[]): void {
  const fits =
    tensor.shape.length === expected.length && expected.every((size, i) => size === null || size === tensor.shape[i]);
  if (fits) return;
  const wanted = expected.map((size) => size ?? '*').join(', ');
  throw new ArgumentError(`${operation}: expected ${argument} of shape [${wanted}], got [${tensor.shape.join(', ')}]`);
}

/** Throws an ArgumentError unless the element type of `tensor` is `dtype`. */
export function expectType(operation: string, argument: string, tensor: Tensor, dtype: 'float32' | 'int32'): void {
  if (tensor.dtype === dtype) return;
  throw new ArgumentError(`${operation}: expected ${argument} of type ${dtype}, got ${tensor.dtype}; cast it first`);
}

/** Throws an ArgumentError unless all tensors are float32: kernels read their memory as such; a BackendError when there is no backend. */
export function expectFloats(operation: string, tensors: Readonly<Record<string, Tensor>>): void {
  expectBackend(operation);
  for (const [argument, tensor] of Object.entries(tensors)) expectType(operation, argument, tensor, 'float32');
}

/** Throws an ArgumentError unless a soft cap is absent or a finite number above 0. */
export function expectSoftCap(operation: string, softCap: number | undefined): void {
  if (softCap === undefined || (softCap > 0 && Number.isFinite(softCap))) return;
  throw new ArgumentError(`${operation}: expected a softCap above 0, got ${softCap}; leave it out for none`);
}

/** Throws an ArgumentError unless every id is from `least` to `limit` - 1. */
export function expectIds(operation: string, argument: string, ids: Int32Array, least: number, limit: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id < least || id >= limit) {
      const range = least < 0 ? `below ${limit}` : `from ${least} to ${limit - 1}`;
      throw new ArgumentError(`${operation}: expected ${argument} ${range}, got ${id} at element ${i}`);
    }
  }
}
