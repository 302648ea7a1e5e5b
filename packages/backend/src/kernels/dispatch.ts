import * as tf from '@tensorflow/tfjs-core';
import type { NamedAttrMap, Tensor } from '@tensorflow/tfjs-core';

let referenceOnly = false;

/** Makes every operation of this package use its reference composition: the baseline of benchmarks and tests. */
export function useReferenceKernels(on: boolean): void {
  referenceOnly = on;
}

export function referenceForced(): boolean {
  return referenceOnly;
}

/** Whether the active backend has a kernel of this name. */
export function hasKernel(name: string): boolean {
  return !referenceOnly && tf.getKernel(name, tf.getBackend()) != null;
}

/** Runs a kernel registered with tfjs on the active backend. */
export function runKernel(name: string, inputs: Record<string, Tensor>, attributes: NamedAttrMap = {}): Tensor[] {
  const result: Tensor | Tensor[] = tf.engine().runKernel(name, inputs, attributes);
  return Array.isArray(result) ? result : [result];
}

type Gradient = (dy: Tensor, saved: Tensor[]) => Tensor[];

/**
 * `tf.customGrad` for any number of inputs, with its types put right. Whatever the gradient needs must be saved: the
 * forward pass runs in a tidy, so that tensors captured by a closure are gone when the gradient runs.
 */
export function withGradient(
  inputs: Tensor[],
  forward: (save: (tensors: Tensor[]) => void, inputs: Tensor[]) => Tensor,
  gradient: Gradient,
): Tensor {
  const operation = tf.customGrad((...args) => {
    const save = args.pop() as unknown as (tensors: Tensor[]) => void;
    return {
      value: forward(save, args as Tensor[]),
      gradFunc: (dy: Tensor, saved: Tensor[]) => gradient(dy, saved),
    };
  });
  return operation(...inputs);
}
