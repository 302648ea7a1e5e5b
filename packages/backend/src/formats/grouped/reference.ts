import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { groupMean, linear } from '../../kernels/index';
import { hostDistortions } from '../../inference/distortions';
import { slotOf } from '../../inference/host-pages';
import { type PageStore, TOKENS_PER_PAGE } from '../../inference/pages';
import { attendReference } from '../../inference/reference/attention';
import type { ReferenceKv, ReferenceLinear, ReferenceRows } from '../../inference/reference/residents';
import { rotated } from '../../inference/reference/rotate';
import type { AttendOptions, GroupedKernels, Grouping, LayerView, Route, StorePlan } from '../../inference/runtime';

/** In TensorFlow.js operations, with pages on the host. */
export class ReferenceGrouped implements GroupedKernels {
  /** @param read a tensor at once, which is disposed */
  constructor(private readonly read: (compute: () => Tensor) => Float32Array) {}

  store(
    weights: ReferenceKv, x: ReferenceRows, row: number, { expert }: Route, { segments, slots }: LayerView, angles?: ReferenceRows,
  ): void {
    const { page, offset } = slots[expert!]!;
    const project = (layer: ReferenceLinear) => linear(x.row(row), layer.weight, layer.bias);
    const grouped = (compute: () => Tensor2D) =>
      storedHeads(this.read(() => pool(weights, compute(), Int32Array.of(expert!))), weights.headDim, weights.groupSizes[expert!]!);
    const keys = grouped(() => (angles ? rotated(project(weights.k), angles.row(row)) : project(weights.k)));
    segments[expert!]!.store.write(page, offset, keys, grouped(() => project(weights.v)));
  }

  storeProjected(grouping: Grouping, k: ReferenceRows, v: ReferenceRows, row: number, { expert }: Route, { segments, slots }: LayerView): void {
    const { page, offset } = slots[expert!]!;
    const [keys, values] = [k, v].map((x) => (
      storedHeads(this.read(() => pool(grouping, x.row(row), Int32Array.of(expert!))), grouping.headDim, grouping.groupSizes[expert!]!)
    ));
    segments[expert!]!.store.write(page, offset, keys!, values!);
  }

  attend(
    q: ReferenceRows, row: number, view: LayerView, route: Route | null, out: ReferenceRows, options: AttendOptions,
  ): void {
    const attended = attendReference(this.read(() => q.row(row)), view, route && route.expert, options);
    out.write(() => tf.tensor2d(attended.out, [1, out.width]), row);
    attended.probabilities.forEach((probabilities, segment) => options.onProbabilities?.(segment, probabilities));
  }

  group(grouping: Grouping, k: ReferenceRows, v: ReferenceRows, experts: Int32Array): void {
    for (const rows of [k, v]) rows.write(() => pool(grouping, rows.first(experts.length), experts));
  }

  distortions(grouping: Grouping, k: ReferenceRows, v: ReferenceRows, out: ReferenceRows, rows: number): void {
    const [keys, values] = [k, v].map((x) => this.read(() => x.first(rows))) as [Float32Array, Float32Array];
    const lost = new Float32Array(rows * out.width);
    hostDistortions(grouping, keys, values, lost, rows);
    out.write(() => tf.tensor2d(lost, [rows, out.width]));
  }

  storeRows(k: ReferenceRows, v: ReferenceRows, plans: readonly StorePlan[]): void {
    const values = [k, v].map((rows) => this.read(() => rows.first(rows.capacity)));
    for (const { segment, firstSlot, rows } of plans) {
      const { store } = segment;
      const groupSize = k.width / (store.heads * store.headDim);
      for (let done = 0; done < rows.length; ) {
        const { page, offset } = slotOf(segment, firstSlot + done);
        const some = rows.subarray(done, done + TOKENS_PER_PAGE - offset);
        const [pageK, pageV] = values.map((x) => storedRows(x, some, k.width, store, groupSize));
        store.write(page, offset, pageK!, pageV!);
        done += some.length;
      }
    }
  }
}

function pool({ headDim, groupSizes, pooling }: Grouping, x: Tensor2D, experts: Int32Array): Tensor2D {
  return groupMean(x, tf.tensor1d(experts, 'int32'), { headDim, groupSizes, pooling });
}

/** Of grouped rows the first head of each group: [kvHeads·headDim] to [kvHeads/groupSize·headDim]. */
function storedHeads(grouped: Float32Array, headDim: number, groupSize: number): Float32Array {
  return grouped.filter((_, i) => Math.floor(i / headDim) % groupSize === 0);
}

function storedRows(
  grouped: Float32Array, rows: Int32Array, width: number, { heads, headDim }: PageStore, groupSize: number,
): Float32Array {
  const stored = new Float32Array(rows.length * heads * headDim);
  rows.forEach((row, i) => {
    stored.set(storedHeads(grouped.subarray(row * width, (row + 1) * width), headDim, groupSize), i * heads * headDim);
  });
  return stored;
}
