import type { Tensor } from '@tensorflow/tfjs-core';
import type { SeededRandom } from '../random';

/**
 * One combination of an operation, shapes and dtypes that every backend is held to.
 *
 * A kernel's folder exports a list of them as `cases` from its `cases.ts`; `checkKernelCase` runs a case on a
 * backend. All functions run inside `tf.tidy`, so they need not dispose anything.
 */
export interface KernelCase {
  /** The operation, the same in all of its cases: the row of the support table. */
  readonly kernel: string;
  /** Shapes and variant, for people: `'17x33 · 33x9, relu'`. Unique among the kernel's cases. */
  readonly name: string;
  /**
   * The input tensors, made on the active backend. Must depend on nothing but `random`, so that two backends
   * get the same values.
   */
  inputs(random: SeededRandom): Tensor[];
  /** The operation under test. */
  run(...inputs: Tensor[]): Tensor | Tensor[];
  /**
   * The meaning, composed of plain tfjs operations and run on the `cpu` backend. Without it `run` itself on
   * the `cpu` backend is the reference.
   */
  reference?(...inputs: Tensor[]): Tensor | Tensor[];
  /**
   * Indexes of the float inputs whose gradient is checked, by finite differences of `reference` and against
   * its automatic gradient. None by default.
   */
  readonly differentiable?: readonly number[];
  /**
   * Length of the finite-difference step, as a share of the input's root mean square; default 2e-3. Keep inputs away
   * from kinks (a ReLU at 0) by more than this.
   */
  readonly step?: number;
  /** Largest NMSE against the reference; default 1e-7 of outputs, 1e-6 of gradients. */
  readonly tolerance?: number;
}
