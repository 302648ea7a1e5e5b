import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors';
import { ReferenceGrouped } from '../../formats/grouped/reference';
import { embedding, layerNorm, linear } from '../../kernels/index';
import { expectIds } from '../../kernels/validate';
import { expectOptions } from '../../options';
import { HostPages, } from '../host-pages';
import { dequantiseHeads, quantiseHeads } from '../kv-type';
import { PAGE_FORMAT } from '../runtime';
import type {
  Activation, ApplyOptions, CausalOptions, DenseLayer, InferenceRuntime, KvLayer, PageFormat,
  RmsNormOptions, Route, RowLikelihood, StepResult, TokenRouter, WeightType,
} from '../runtime';
import { attendCausally } from './causal';
import { rotated } from './rotate';
import { ReferenceKv, ReferenceLinear, ReferenceRows, ReferenceVector } from './residents';

/**
 * Inference in TensorFlow.js operations, with keys and values on the host: the meaning of the others, on every backend whose
 * tensors can be read at once (not on WebGPU outside of browsers).
 */
export class ReferenceRuntime implements InferenceRuntime {
  readonly path = 'reference';
  readonly work = { dispatches: null, reads: 0 };
  readonly grouped = new ReferenceGrouped((compute) => this.#read(compute));
  readonly workAtOnce = tf.getBackend() === 'cpu' ? 2e7 : 5e9;

  packLinear(layer: DenseLayer, type: WeightType): ReferenceLinear {
    return new ReferenceLinear(layer, type);
  }

  packKv(layer: KvLayer, type: WeightType): ReferenceKv {
    return new ReferenceKv(layer, type);
  }

  packRouter(): null {
    return null;
  }

  vector(values: Float32Array): ReferenceVector {
    return new ReferenceVector(values);
  }

  rows(capacity: number, width: number): ReferenceRows {
    return new ReferenceRows(capacity, width);
  }

  pages(format: PageFormat): HostPages {
    expectOptions('pages', format, PAGE_FORMAT);
    return new HostPages(format);
  }

  embed(table: ReferenceLinear, ids: Int32Array, out: ReferenceRows): void {
    out.write(() => lookUp('embed', table, ids));
  }

  addEmbedding(table: ReferenceLinear, ids: Int32Array, x: ReferenceRows): void {
    x.write(() => tf.add(x.first(ids.length), lookUp('addEmbedding', table, ids)));
  }

  layerNorm(x: ReferenceRows, gain: ReferenceVector, bias: ReferenceVector, out: ReferenceRows, rows: number): void {
    out.write(() => layerNorm(x.first(rows), gain.tensor, bias.tensor));
  }

  apply(weights: ReferenceLinear, x: ReferenceRows, out: ReferenceRows, rows: number, options: ApplyOptions = {}): void {
    const residual = options.residual as ReferenceRows | undefined;
    out.write(() => {
      const y = linear(x.first(rows), weights.weight, weights.bias);
      const activated = options.activation ? activations[options.activation](y) : y;
      return residual ? tf.add(activated, residual.first(rows)) : activated;
    });
  }

  rmsNorm(x: ReferenceRows, gain: ReferenceVector, out: ReferenceRows, rows: number, { epsilon, residual }: RmsNormOptions): void {
    out.write(() => {
      const parts = tf.reshape(x.first(rows), [(rows * x.width) / gain.size, gain.size]);
      const factor = tf.rsqrt(tf.add(tf.mean(tf.square(parts), 1, true), epsilon));
      const normal = tf.reshape(tf.mul(tf.mul(parts, factor), gain.tensor), [rows, x.width]) as Tensor2D;
      return residual ? tf.add(normal, (residual as ReferenceRows).first(rows)) : normal;
    });
  }

  multiply(x: ReferenceRows, by: ReferenceRows, rows: number): void {
    x.write(() => tf.mul(x.first(rows), by.first(rows)));
  }

  scale(x: ReferenceRows, factor: number, rows: number): void {
    x.write(() => tf.mul(x.first(rows), factor));
  }

  softCap(x: ReferenceRows, cap: number, rows: number): void {
    x.write(() => tf.mul(tf.tanh(tf.div(x.first(rows), cap)), cap));
  }

  write(values: Float32Array, out: ReferenceRows): void {
    out.write(() => tf.tensor2d(values.slice(), [values.length / out.width, out.width]));
  }

  rotate(x: ReferenceRows, angles: ReferenceRows, rows: number): void {
    x.write(() => rotated(x.first(rows), angles.first(rows)));
  }

  route(router: TokenRouter | null, x: ReferenceRows, row: number): Route {
    const expert = router
      ? this.#read(() => router.decode(tf.reshape(x.row(row), [1, 1, x.width])))[0]!
      : 0;
    return { expert };
  }

  project(weights: ReferenceKv, x: ReferenceRows, k: ReferenceRows, v: ReferenceRows, rows: number): void {
    this.apply(weights.k, x, k, rows);
    this.apply(weights.v, x, v, rows);
  }

  roundToInt8(x: ReferenceRows, rows: number, headDim: number): void {
    const rounded = dequantiseHeads(quantiseHeads(this.#read(() => x.first(rows)), headDim));
    x.write(() => tf.tensor2d(rounded, [rows, x.width]));
  }

  causalAttention(
    q: ReferenceRows, k: ReferenceRows, v: ReferenceRows, out: ReferenceRows, rows: number, options: CausalOptions,
  ): void {
    const { heads, kvHeads, scale, softCap, keys = rows, window = keys, kvRange = { first: 0, end: kvHeads } } = options;
    const headDim = q.width / heads;
    const width = q.width / kvHeads;
    const received = options.received as ReferenceRows | undefined;
    for (let kvHead = kvRange.first; kvHead < kvRange.end; kvHead++) {
      const attended = tf.tidy(() => {
        const [own, head] = [[0, kvHead * width], [0, kvHead * headDim]] as [number, number][];
        const queries = tf.slice(q.first(rows), own!, [rows, width]);
        const [keysOf, valuesOf] = [k, v].map((x) => tf.slice(x.first(keys), head!, [keys, headDim]));
        return attendCausally(queries, keysOf!, valuesOf!, { scale, softCap, window });
      });
      out.write(() => withColumns(out.first(rows), attended.out, kvHead * width));
      received?.write(() => tf.add(received.first(keys), tf.reshape(attended.received, [keys, 1])));
      tf.dispose([attended.out, attended.received]);
    }
  }

  tensor(x: ReferenceRows, rows: number): Tensor3D {
    return tf.tidy(() => tf.reshape(x.first(rows), [1, rows, x.width]));
  }

  copyRows(from: ReferenceRows, first: number, rows: number, to: ReferenceRows, at = 0): void {
    to.write(() => from.some(first, rows), at);
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  async read(x: ReferenceRows, rows: number, want: 'argMax' | 'values'): Promise<StepResult> {
    const values = this.#read(() => x.first(rows));
    if (want === 'values') return { argMax: null, values };
    const argMax = Int32Array.from({ length: rows }, (_, row) => argMaxOf(values.subarray(row * x.width, (row + 1) * x.width)));
    return { argMax, values: null };
  }

  async likelihood(logits: ReferenceRows, targets: Int32Array): Promise<RowLikelihood> {
    const values = this.#read(() => logits.first(targets.length));
    const rows = Array.from(targets, (_, row) => values.subarray(row * logits.width, (row + 1) * logits.width));
    return {
      nll: Float32Array.from(rows, (row, i) => negativeLogLikelihood(row, targets[i]!)),
      greedy: Uint8Array.from(rows, (row, i) => (indexOfLargest(row) === targets[i] ? 1 : 0)),
    };
  }

  #read(compute: () => Tensor): Float32Array {
    if (tf.getBackend() === 'webgpu' && typeof OffscreenCanvas === 'undefined') {
      throw new BackendError(
        'webgpu: expected a browser, since the reference of inference reads tensors at once; use the fused runtime, or the backend wasm or cpu',
      );
    }
    this.work.reads++;
    const tensor = tf.tidy(compute);
    try {
      return tensor.dataSync() as Float32Array;
    } finally {
      tensor.dispose();
    }
  }
}

const activations: { readonly [Name in Activation]: (x: Tensor2D) => Tensor2D } = {
  relu: (x) => tf.relu(x),
  silu: (x) => tf.mul(x, tf.sigmoid(x)),
  gelu(x) {
    const inner = tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI));
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
  },
};

/** The same rows with other columns from `first` on. */
function withColumns(x: Tensor2D, columns: Tensor2D, first: number): Tensor2D {
  const [rows, width] = x.shape;
  const end = first + columns.shape[1];
  const parts = [tf.slice(x, [0, 0], [rows, first]), columns, tf.slice(x, [0, end], [rows, width - end])];
  return tf.concat(parts.filter(({ size }) => size > 0), 1);
}

function lookUp(operation: string, table: ReferenceLinear, ids: Int32Array): Tensor2D {
  expectIds(operation, 'ids', ids, 0, table.outputs);
  return embedding(table.weight, tf.tensor1d(ids, 'int32'));
}

/** −log softmax(logits)[target], summed in double precision. */
function negativeLogLikelihood(logits: Float32Array, target: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return largest - logits[target]! + Math.log(sum);
}

/** As `argMax` of a step's result. */
function argMaxOf(row: Float32Array): number {
  const largest = row.reduce((a, b) => Math.max(a, b)); // of NaN and a number it is NaN
  return Number.isFinite(largest) ? indexOfLargest(row) : -1;
}

function indexOfLargest(values: Float32Array): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
