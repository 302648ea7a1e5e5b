/** One way of training the benchmark's model. */
export interface Contender {
  /** What computes: `wasm`, `tfjs-wasm` (stock TensorFlow.js operations on the same backend) or `torch`. */
  backend: string;
  attention: string;
  threads: number;
  /** Version or build, for people. */
  detail: string;
  /** Trains for at least so many seconds and at least one step, and tells how far it came. */
  run(seconds: number): Promise<Slice>;
  dispose(): void;
}

/** What a contender did when it had its turn. */
export interface Slice {
  steps: number;
  seconds: number;
}
