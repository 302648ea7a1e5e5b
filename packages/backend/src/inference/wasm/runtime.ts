import * as tf from '@tensorflow/tfjs-core';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { ArgumentError } from '../../errors';
import { WasmGrouped } from '../../formats/grouped/wasm';
import { WasmLatentKernels } from '../../formats/latent/wasm';
import { expectOptions } from '../../options';
import type { WasmHeap } from '../../wasm/kernel';
import type {
  Activation, ApplyOptions, CausalOptions, DenseLayer, InferenceRuntime, KvLayer, KvWeights,
  LinearWeights, PageFormat, RmsNormOptions, Route, RowLikelihood, Rows, StepResult, TokenRouter, Vector, WeightType,
} from '../runtime';
import { PAGE_FORMAT } from '../runtime';
import { WasmLatents, WasmPages } from './pages';
import { HeapRows, HeapVector } from './rows';
import { PackedRouter } from './router';
import { PackedKv, PackedLinear } from './weights';

/** Kernels on fixed addresses of the wasm heap: a step makes no tensor and returns nothing to JavaScript but numbers. */
export class WasmRuntime implements InferenceRuntime {
  readonly path = 'fused';
  readonly work = { dispatches: null, reads: 0 };
  readonly workAtOnce = 2.5e8;
  readonly grouped: WasmGrouped;
  readonly latents: WasmLatentKernels;
  readonly #heap: WasmHeap;
  /** One object for each expert, made once. */
  readonly #routeOf: Route[] = [];

  constructor(heap: WasmHeap) {
    this.#heap = heap;
    this.grouped = new WasmGrouped(heap);
    this.latents = new WasmLatentKernels(heap);
  }

  packLinear(layer: DenseLayer, type: WeightType): PackedLinear {
    return new PackedLinear(this.#heap, layer, type);
  }

  packKv(layer: KvLayer, type: WeightType): PackedKv {
    return new PackedKv(this.#heap, layer, type);
  }

  packRouter(layer: DenseLayer): PackedRouter {
    return new PackedRouter(this.#heap, layer);
  }

  vector(values: Float32Array): Vector {
    return new HeapVector(this.#heap, values);
  }

  rows(capacity: number, width: number): HeapRows {
    return new HeapRows(this.#heap, capacity, width);
  }

  pages(format: PageFormat): WasmPages | WasmLatents {
    expectOptions('pages', format, PAGE_FORMAT);
    const { heads, headDim, type = 'f32', joint = false, packing } = format;
    if (packing) throw new ArgumentError('pages: expected numbers of an element type, got a packing of its own; use HostPages');
    if (!joint) return new WasmPages(this.#heap, format);
    if (heads === 1) return new WasmLatents(this.#heap, headDim, type);
    throw new ArgumentError(`pages: expected keys and values apart, or in one vector, got ${heads} for both; use HostPages`);
  }

  embed(table: LinearWeights, ids: Int32Array, out: Rows): void {
    ids.forEach((id, row) => (table as PackedLinear).row(id, (out as HeapRows).row(row), false));
  }

  addEmbedding(table: LinearWeights, ids: Int32Array, x: Rows): void {
    ids.forEach((id, row) => (table as PackedLinear).row(id, (x as HeapRows).row(row), true));
  }

  layerNorm(x: Rows, gain: Vector, bias: Vector, out: Rows, rows: number): void {
    const [from, to] = [x as HeapRows, out as HeapRows];
    const statistics = this.#heap.scratch(2 * rows);
    this.#heap.kernels.layerNorm(
      from.address, (gain as HeapVector).address, (bias as HeapVector).address, to.address, statistics, rows, x.width, 1e-5,
    );
  }

  rmsNorm(x: Rows, gain: Vector, out: Rows, rows: number, { epsilon, residual }: RmsNormOptions): void {
    const { address, size } = gain as HeapVector;
    this.#heap.kernels.rmsNorm(
      (x as HeapRows).address, address, addressOf(residual), (out as HeapRows).address, (rows * x.width) / size, size, epsilon,
    );
  }

  apply(weights: LinearWeights, x: Rows, out: Rows, rows: number, { activation, residual }: ApplyOptions = {}): void {
    if (activation && residual === out) throw new ArgumentError('apply: expected a residual other than the output beside an activation');
    this.#applyTo(weights as PackedLinear, x as HeapRows, out as HeapRows, rows, activation, addressOf(residual));
  }

  multiply(x: Rows, by: Rows, rows: number): void {
    this.#heap.kernels.multiply((x as HeapRows).address, (by as HeapRows).address, rows * x.width);
  }

  scale(x: Rows, factor: number, rows: number): void {
    this.#heap.kernels.scale((x as HeapRows).address, factor, rows * x.width);
  }

  softCap(x: Rows, cap: number, rows: number): void {
    this.#heap.kernels.softCap((x as HeapRows).address, rows * x.width, 1 / cap, cap);
  }

  write(values: Float32Array, out: Rows): void {
    this.#heap.floats((out as HeapRows).address, values.length).set(values);
  }

  rotate(x: Rows, angles: Rows, rows: number): void {
    const { width: headDim } = angles;
    this.#heap.kernels.rotate((x as HeapRows).address, (angles as HeapRows).address, rows, x.width / headDim, headDim);
  }

  route(router: TokenRouter | null, x: Rows, row: number): Route {
    let expert = 0;
    if (router?.linear) {
      expert = (router.linear as PackedRouter).decide((x as HeapRows).row(row));
    } else if (router) {
      const decided = tf.tidy(() => router.decode(this.#tensorAt((x as HeapRows).row(row), 1, x.width)));
      expert = decided.dataSync()[0]!;
      decided.dispose();
    }
    return (this.#routeOf[expert] ??= { expert });
  }

  project(weights: KvWeights, x: Rows, k: Rows, v: Rows, rows: number): void {
    const { whole } = weights as PackedKv;
    this.#applyTo(whole[0], x as HeapRows, k as HeapRows, rows);
    this.#applyTo(whole[1], x as HeapRows, v as HeapRows, rows);
  }

  roundToInt8(x: Rows, rows: number, headDim: number): void {
    this.#heap.kernels.roundToInt8((x as HeapRows).address, (rows * x.width) / headDim, headDim);
  }

  causalAttention(q: Rows, k: Rows, v: Rows, out: Rows, rows: number, options: CausalOptions): void {
    const { heads, kvHeads, scale, softCap = 0, keys = rows, window = keys, received, kvRange = { first: 0, end: kvHeads } } = options;
    const { kernels } = this.#heap;
    const headDim = q.width / heads;
    const logSumExp = this.#heap.scratch(heads * rows + kernels.attentionScratch(keys, headDim));
    kernels.causalAttention(
      (q as HeapRows).address, (k as HeapRows).address, (v as HeapRows).address, (out as HeapRows).address, logSumExp,
      1, keys, heads, kvHeads, headDim, scale, logSumExp + 4 * heads * rows, addressOf(received), window, softCap,
      rows, kvRange.first, kvRange.end,
    );
  }

  tensor(x: Rows, rows: number): Tensor3D {
    return this.#tensorAt((x as HeapRows).address, rows, x.width);
  }

  copyRows(from: Rows, first: number, rows: number, to: Rows, at = 0): void {
    const source = this.#heap.floats((from as HeapRows).row(first), rows * from.width);
    this.#heap.floats((to as HeapRows).row(at), rows * to.width).set(source);
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  read(x: Rows, rows: number, want: 'argMax' | 'values'): Promise<StepResult> {
    if (want === 'values') {
      return Promise.resolve({ argMax: null, values: this.#heap.floats((x as HeapRows).address, rows * x.width) });
    }
    const argMax = Int32Array.from({ length: rows }, (_, row) => this.#heap.kernels.argMax((x as HeapRows).row(row), x.width));
    return Promise.resolve({ argMax, values: null });
  }

  likelihood(logits: Rows, targets: Int32Array): Promise<RowLikelihood> {
    const rows = targets.length;
    const at = this.#heap.scratch(3 * rows);
    const [nll, greedy] = [at + 4 * rows, at + 8 * rows];
    this.#heap.int32s(at, rows).set(targets);
    this.#heap.kernels.likelihood((logits as HeapRows).address, at, nll, greedy, rows, logits.width);
    return Promise.resolve({
      nll: this.#heap.floats(nll, rows).slice(),
      greedy: Uint8Array.from(this.#heap.floats(greedy, rows)),
    });
  }

  #applyTo(linear: PackedLinear, x: HeapRows, out: HeapRows, rows: number, activation?: Activation, residual = 0): void {
    linear.apply(x.address, out.address, rows, this.#heap.scratch(linear.scratch(rows)), activation, residual);
  }

  #tensorAt(address: number, rows: number, width: number): Tensor3D {
    const info = this.#heap.output([1, rows, width]);
    this.#heap.floats(this.#heap.address(info), rows * width).set(this.#heap.floats(address, rows * width));
    return tf.engine().makeTensorFromTensorInfo(info) as Tensor3D;
  }
}

/** 0 for none. */
function addressOf(rows: Rows | undefined): number {
  return rows ? (rows as HeapRows).address : 0;
}
