import type { Contender } from '../contender';

/** One way of training the benchmark's model. */
export interface TrainContender extends Contender {
  /** What computes: `wasm`, `tfjs-wasm` (stock TensorFlow.js operations on the same backend) or `torch`. */
  readonly backend: string;
  readonly attention: string;
  readonly threads: number;
  /** Version or build, for people. */
  readonly detail: string;
}
