import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors';
import { WebgpuGrouped } from '../../formats/grouped/webgpu';
import { expectOptions } from '../../options';
import { linear } from '../../kernels/index';
import { expectIds } from '../../kernels/validate';
import { WebgpuDevice } from '../../webgpu/device';
import type {
  Activation, ApplyOptions, CausalOptions, DenseLayer, DeviceWork, InferenceRuntime, KvLayer,
  PageFormat, RmsNormOptions, Route, RowLikelihood, Rows, StepResult, TokenRouter, WeightType,
} from '../runtime';
import { PAGE_FORMAT } from '../runtime';
import { causalGroups, causalProbabilityProgram, causalProgram, sumHeadsProgram } from './causal';
import { roundToInt8Program } from './int8-pages';
import { likelihoodProgram } from './likelihood';
import { roundUp, Workspace } from './memory';
import { WebgpuPages } from './pages';
import {
  activationNumbers, applyGroups, applyProgram, embedProgram, residuals, routeProgram,   widenProgram,
} from './products';
import { WebgpuKv, WebgpuLinear, WebgpuRouter, WebgpuRows, WebgpuVector } from './residents';
import {
  activateProgram, addProgram, copyPlusProgram, copyProgram, elementwise, layerNormProgram, multiplyProgram,
  rmsNormInPlaceProgram, rmsNormProgram, rotateProgram, scaleProgram, softCapProgram, strided, writeProgram,
} from './rows';
import { Step } from './step';

/** From more rows on, the tiled product of tfjs beats one that reads the matrix for every few of them. */
const MANY_ROWS = 32;

/**
 * Inference in WGSL programs. Decoding leaves everything on the device, routes too, until `read`. Whole prompts go through
 * stock operations where those are good.
 */
export class WebgpuRuntime implements InferenceRuntime {
  readonly path = 'fused';
  readonly workAtOnce = 2e10;
  readonly #device = WebgpuDevice.of(tf.backend());
  readonly #workspace = Workspace.of(this.#device);
  readonly #dispatchesBefore = this.#device.dispatches;
  readonly #refusalsBefore = this.#device.refusals;
  #reads = 0;
  #step = new Step(this.#device);
  readonly grouped = new WebgpuGrouped(this.#device, () => this.#step);

  get work(): DeviceWork {
    return { dispatches: this.#device.dispatches - this.#dispatchesBefore, reads: this.#reads };
  }

  packLinear(layer: DenseLayer, type: WeightType): WebgpuLinear {
    return new WebgpuLinear(this.#device, layer, type);
  }

  packRouter(layer: DenseLayer): WebgpuRouter {
    return new WebgpuRouter(this.#device, layer);
  }

  packKv(layer: KvLayer, type: WeightType): WebgpuKv {
    return new WebgpuKv(this.#device, layer, type);
  }

  vector(values: Float32Array): WebgpuVector {
    return new WebgpuVector(this.#device, values);
  }

  rows(capacity: number, width: number): WebgpuRows {
    return new WebgpuRows(this.#device, capacity, width);
  }

  pages(format: PageFormat): WebgpuPages {
    expectOptions('pages', format, PAGE_FORMAT);
    return new WebgpuPages(this.#device, format, () => this.#reads++);
  }

  embed(table: WebgpuLinear, ids: Int32Array, out: WebgpuRows): void {
    expectIds('embed', 'ids', ids, 0, table.outputs);
    this.#embed(table, ids, out, false);
  }

  addEmbedding(table: WebgpuLinear, ids: Int32Array, x: WebgpuRows): void {
    expectIds('addEmbedding', 'ids', ids, 0, table.outputs);
    this.#embed(table, ids, x, true);
  }

  layerNorm(x: WebgpuRows, gain: WebgpuVector, bias: WebgpuVector, out: WebgpuRows, rows: number): void {
    this.#device.run(layerNormProgram, {
      result: out.tensor,
      inputs: { x: x.tensor, gain: gain.tensor, bias: bias.tensor },
      uniforms: { width: x.width },
      groups: [rows, 1],
    });
  }

  apply(weights: WebgpuLinear, x: WebgpuRows, out: WebgpuRows, rows: number, options: ApplyOptions = {}): void {
    const residual = tensorOf(options.residual);
    if (rows <= MANY_ROWS) this.#multiply(weights, x, out.tensor, rows, options.activation, residual);
    else {
      this.#withProduct(weights, x, rows, options.activation, (product) => {
        this.#copyRows(product, out.tensor, out.width, rows, residual);
      });
    }
  }

  rmsNorm(x: WebgpuRows, gain: WebgpuVector, out: WebgpuRows, rows: number, options: RmsNormOptions): void {
    const residual = tensorOf(options.residual);
    const source = x.tensor === out.tensor ? null : x.tensor;
    this.#device.run(source ? rmsNormProgram : rmsNormInPlaceProgram, {
      result: out.tensor,
      inputs: { x: source, gain: gain.tensor, residual: standIn(residual, out.tensor, gain.tensor) },
      uniforms: { width: gain.size, epsilon: options.epsilon, residualIn: placeOfResidual(residual, out.tensor) },
      groups: [x.width / gain.size, rows],
    });
  }

  multiply(x: WebgpuRows, by: WebgpuRows, rows: number): void {
    this.#device.run(multiplyProgram, {
      result: x.tensor,
      inputs: { source: by.tensor },
      uniforms: { width: x.width, first: 0, stride: x.width, to: 0, toStride: x.width },
      groups: elementwise(x.width, rows),
    });
  }

  scale(x: WebgpuRows, factor: number, rows: number): void {
    this.#inPlace(scaleProgram, x.tensor, factor, x.width, rows);
  }

  softCap(x: WebgpuRows, cap: number, rows: number): void {
    this.#inPlace(softCapProgram, x.tensor, cap, x.width, rows);
  }

  write(values: Float32Array, out: WebgpuRows): void {
    const first = this.#workspace.numbers.put(new Int32Array(values.buffer, values.byteOffset, values.length));
    this.#device.run(writeProgram, {
      result: out.tensor,
      inputs: { numbers: this.#workspace.numbers.tensor },
      uniforms: { first, width: out.width },
      groups: elementwise(out.width, values.length / out.width),
    });
  }

  rotate(x: WebgpuRows, angles: WebgpuRows, rows: number): void {
    const pairs = x.width / 2;
    this.#device.run(rotateProgram, {
      result: x.tensor, inputs: { angles: angles.tensor }, uniforms: { pairs, half: angles.width / 2 }, groups: elementwise(pairs, rows),
    });
  }

  route(router: TokenRouter | null, x: WebgpuRows, row: number): Route {
    if (!router) return this.#step.addRoute(0);
    const route = this.#step.addRoute(null);
    if (router.linear) {
      const { layout, weights, scales, bias, product, experts } = router.linear as WebgpuRouter;
      this.#device.run(routeProgram(layout, bias !== null), {
        result: this.#step.routes,
        inputs: { x: x.tensor, weights, scales, bias },
        uniforms: { ...product, row, experts, at: route.at },
        groups: [1, 1],
      });
    } else {
      const expert = this.#device.stock(() =>
        tf.tidy(() => router.decode(tf.reshape(tf.slice(x.tensor, [row, 0], [1, x.width]), [1, 1, x.width]))),
      );
      this.#copy(expert, 0, this.#step.routes, route.at, 1);
      expert.dispose();
    }
    return route;
  }

  project(weights: WebgpuKv, x: WebgpuRows, k: WebgpuRows, v: WebgpuRows, rows: number): void {
    this.#withProduct(weights.both, x, rows, undefined, (source) => {
      for (const [to, first] of [[k, 0], [v, k.width]] as const) {
        this.#device.run(copyProgram, {
          result: to.tensor,
          inputs: { source },
          uniforms: { width: k.width, first, stride: 2 * k.width, to: 0, toStride: k.width },
          groups: elementwise(k.width, rows),
        });
      }
    });
  }

  roundToInt8(x: WebgpuRows, rows: number, headDim: number): void {
    const heads = x.width / headDim;
    this.#device.run(roundToInt8Program, { result: x.tensor, inputs: {}, uniforms: { heads, headDim }, groups: elementwise(heads, rows) });
  }

  causalAttention(q: WebgpuRows, k: WebgpuRows, v: WebgpuRows, out: WebgpuRows, rows: number, options: CausalOptions): void {
    const { heads, kvHeads, scale, softCap = 0, keys = rows, window = keys, received, kvRange = { first: 0, end: kvHeads } } = options;
    const headDim = q.width / heads;
    const [firstHead, endHead] = [kvRange.first, kvRange.end].map((head) => (head * heads) / kvHeads) as [number, number];
    const size = rows * q.width;
    const sums = received ? size : -1;
    const result = received ? this.#workspace.partials.take(size + 2 * heads * rows) : out.tensor;
    const uniforms = { scale, softCap, window, rows, before: keys - rows, heads, firstHead, kvHeads, sums };
    this.#device.run(causalProgram(headDim), {
      result, inputs: { q: q.tensor, k: k.tensor, v: v.tensor }, uniforms, groups: causalGroups(endHead - firstHead, rows),
    });
    if (!received) return;
    const [first, width] = [firstHead * headDim, (endHead - firstHead) * headDim];
    this.#device.run(copyProgram, {
      result: out.tensor, inputs: { source: result }, uniforms: { width, first, stride: q.width, to: first, toStride: q.width }, groups: elementwise(width, rows),
    });
    const source = this.#workspace.sums.take(heads * keys);
    this.#device.run(causalProbabilityProgram(headDim), {
      result: source, inputs: { q: q.tensor, k: k.tensor, attended: result }, uniforms, groups: causalGroups(endHead - firstHead, keys),
    });
    this.#device.run(sumHeadsProgram, {
      result: (received as WebgpuRows).tensor, inputs: { source }, uniforms: { keys, firstHead, endHead }, groups: elementwise(keys),
    });
  }

  tensor(x: WebgpuRows, rows: number): Tensor3D {
    return this.#device.stock(() => tf.tidy(() => tf.reshape(x.first(rows), [1, rows, x.width])));
  }

  copyRows(from: WebgpuRows, first: number, rows: number, to: WebgpuRows, at = 0): void {
    const { width } = from;
    this.#device.run(copyProgram, {
      result: to.tensor,
      inputs: { source: from.tensor },
      uniforms: { width, first: first * width, stride: width, to: at * width, toStride: width },
      groups: elementwise(width, rows),
    });
  }

  async settled(): Promise<void> {
    const last = this.#device.tensor([1], 'int32');
    try {
      const reading = this.#device.read(last);
      this.#workspace.numbers.submitted();
      await reading;
    } finally {
      last.dispose();
    }
  }

  async read(x: WebgpuRows, rows: number, want: 'argMax' | 'values'): Promise<StepResult> {
    const step = this.#step;
    this.#step = new Step(this.#device);
    this.#reads++;
    try {
      const bits = await step.gather(x, rows, want);
      this.#expectNoRefusal();
      return step.settle(bits, x, rows, want);
    } finally {
      step.dispose();
    }
  }

  async likelihood(logits: WebgpuRows, targets: Int32Array): Promise<RowLikelihood> {
    const rows = targets.length;
    const { numbers } = this.#workspace;
    const first = numbers.put(targets);
    const result = this.#device.tensor([roundUp(2 * rows)], 'int32');
    this.#reads++;
    try {
      this.#device.run(likelihoodProgram, {
        result,
        inputs: { logits: logits.tensor, numbers: numbers.tensor },
        uniforms: { targets: first, width: logits.width, rows },
        groups: [rows, 1],
      });
      const reading = this.#device.read(result);
      numbers.submitted();
      const bits = await reading;
      this.#expectNoRefusal();
      return {
        nll: new Float32Array(bits.buffer, bits.byteOffset, rows).slice(),
        greedy: Uint8Array.from(bits.subarray(rows, 2 * rows)),
      };
    } finally {
      result.dispose();
    }
  }

  #expectNoRefusal(): void {
    if (this.#device.refusals === this.#refusalsBefore) return;
    throw new BackendError(
      `webgpu: expected the device to take every operation, it refused one and the results are wrong: ${this.#device.lastRefusal}`,
    );
  }

  #embed(table: WebgpuLinear, ids: Int32Array, out: WebgpuRows, add: boolean): void {
    const { type, weights, scales, stride, inputs: width } = table;
    const first = this.#workspace.numbers.put(ids);
    this.#device.run(embedProgram(type, add), {
      result: out.tensor,
      inputs: { weights, scales, numbers: this.#workspace.numbers.tensor },
      uniforms: { stride, width, ids: first },
      groups: elementwise(width, ids.length),
    });
  }

  #multiply(
    weights: WebgpuLinear, x: WebgpuRows, result: Tensor, rows: number, activation: Activation | undefined, residual: Tensor | null,
  ): void {
    const { layout, weights: matrix, scales, bias, outputs, product } = weights;
    const tile = rows > 1 ? 4 : 1;
    this.#device.run(applyProgram(layout, tile), {
      result,
      inputs: { x: x.tensor, weights: matrix, scales, bias: bias ?? x.tensor, residual: standIn(residual, result, x.tensor) },
      uniforms: {
        ...product, outputs, rows, hasBias: bias ? 1 : 0, activation: activation ? activationNumbers[activation] : 0,
        residualIn: placeOfResidual(residual, result),
      },
      groups: applyGroups(tile, outputs, rows),
    });
  }

  /** Gives activation(x · weightᵀ + bias) to `use` as a tensor [rows, outputs] that is gone afterwards. */
  #withProduct(
    weights: WebgpuLinear, x: WebgpuRows, rows: number, activation: Activation | undefined, use: (product: Tensor2D) => void,
  ): void {
    let product: Tensor2D;
    if (rows <= MANY_ROWS) {
      product = this.#device.tensor([rows, weights.outputs], 'float32') as Tensor2D;
      this.#multiply(weights, x, product, rows, activation, null);
    } else {
      const matrix = this.#widen(weights);
      product = this.#device.stock(() => tf.tidy(() => linear(x.first(rows), matrix, weights.bias as tf.Tensor1D | null)));
      if (activation) this.#inPlace(activateProgram, product, activationNumbers[activation], weights.outputs, rows);
      if (matrix !== weights.weights) matrix.dispose();
    }
    use(product);
    product.dispose();
  }

  #widen({ type, weights, scales, stride, outputs, inputs: width }: WebgpuLinear): Tensor2D {
    if (type === 'f32') return weights as Tensor2D;
    const matrix = this.#device.tensor([outputs, width], 'float32') as Tensor2D;
    const size = outputs * width;
    this.#device.run(widenProgram(type), {
      result: matrix, inputs: { weights, scales }, uniforms: { stride, width, size }, groups: strided(size),
    });
    return matrix;
  }

  #copy(source: Tensor, first: number, result: Tensor, to: number, width: number): void {
    this.#device.run(copyProgram, {
      result, inputs: { source }, uniforms: { width, first, stride: 0, to, toStride: 0 }, groups: elementwise(width),
    });
  }

  #copyRows(source: Tensor, result: Tensor, width: number, rows: number, residual: Tensor | null = null): void {
    this.#device.run(residual === null ? copyProgram : residual === result ? addProgram : copyPlusProgram, {
      result,
      inputs: { source, residual },
      uniforms: { width, first: 0, stride: width, to: 0, toStride: width },
      groups: elementwise(width, rows),
    });
  }

  #inPlace(program: typeof scaleProgram, result: Tensor, number: number, width: number, rows: number): void {
    this.#device.run(program, { result, inputs: {}, uniforms: { width, number }, groups: elementwise(width, rows) });
  }
}

function tensorOf(rows: Rows | undefined): Tensor | null {
  return rows ? (rows as WebgpuRows).tensor : null;
}

function placeOfResidual(residual: Tensor | null, result: Tensor): number {
  return residuals[residual === null ? 'none' : residual === result ? 'result' : 'other'];
}

/** What to bind as a residual: no program can have its result as an input too. */
function standIn(residual: Tensor | null, result: Tensor, other: Tensor): Tensor {
  return residual && residual !== result ? residual : other;
}
