import { hostDistortions } from '../../inference/distortions';
import { TOKENS_PER_PAGE } from '../../inference/pages';
import type { AttendOptions, GroupedKernels, Grouping, KvWeights, LayerView, Route, Rows, StorePlan } from '../../inference/runtime';
import { attendSegments } from '../../inference/wasm/attend';
import type { WasmPages } from '../../inference/wasm/pages';
import type { HeapRows } from '../../inference/wasm/rows';
import type { PackedKv } from '../../inference/wasm/weights';
import type { WasmHeap } from '../../wasm/kernel';

/** On addresses of the heap. */
export class WasmGrouped implements GroupedKernels {
  constructor(private readonly heap: WasmHeap) {}

  store(weights: KvWeights, x: Rows, row: number, { expert }: Route, { slots, segments }: LayerView, angles?: Rows): void {
    const [k, v] = (weights as PackedKv).experts[expert!]!;
    const from = (x as HeapRows).row(row);
    const keys = this.heap.scratch(2 * k.outputs + k.scratch(1));
    const values = keys + 4 * k.outputs;
    const scratch = values + 4 * v.outputs;
    k.apply(from, keys, 1, scratch);
    v.apply(from, values, 1, scratch);
    if (angles) {
      this.heap.kernels.rotate(keys, (angles as HeapRows).row(row), 1, k.outputs / angles.width, angles.width);
    }
    (segments[expert!]!.store as WasmPages).store(slots[expert!]!, keys, values, 1);
  }

  storeProjected({ headDim, groupSizes, pooling }: Grouping, k: Rows, v: Rows, row: number, { expert }: Route, { slots, segments }: LayerView): void {
    const { kernels } = this.heap;
    const { width } = k as HeapRows;
    const size = groupSizes[expert!]!;
    const keys = this.heap.scratch(2 * width + 2);
    const [first, sizes] = [keys + 8 * width, keys + 8 * width + 4];
    this.heap.int32s(first, 2).set([0, size]);
    const grouped = [k as HeapRows, v as HeapRows].map((x, i) => {
      const at = keys + 4 * i * width;
      kernels.groupMean(x.row(row), first, sizes, at, 1, width / headDim, headDim, pooling === 'root');
      return at;
    });
    (segments[expert!]!.store as WasmPages).store(slots[expert!]!, grouped[0]!, grouped[1]!, size);
  }

  attend(q: Rows, row: number, view: LayerView, route: Route | null, out: Rows, options: AttendOptions): void {
    const { heads, scale, softCap = 0, onProbabilities } = options;
    const { kernels } = this.heap;
    const headDim = q.width / heads;
    const softmax = { heads, width: headDim, work: kernels.attendWork(heads, headDim), onProbabilities };
    attendSegments(this.heap, view, route, softmax, ({ work, segments, count, weights, maxima }) => {
      kernels.attend((q as HeapRows).row(row), scale, softCap, segments, count, heads, headDim, work, weights, maxima, (out as HeapRows).row(row));
    });
  }

  group({ headDim, groupSizes, pooling }: Grouping, k: Rows, v: Rows, experts: Int32Array): void {
    const assignment = this.heap.scratch(experts.length + groupSizes.length);
    const sizes = assignment + 4 * experts.length;
    this.heap.int32s(assignment, experts.length).set(experts);
    this.heap.int32s(sizes, groupSizes.length).set(groupSizes);
    for (const { address, width } of [k as HeapRows, v as HeapRows]) {
      this.heap.kernels.groupMean(
        address, assignment, sizes, address, experts.length, width / headDim, headDim, pooling === 'root',
      );
    }
  }

  distortions(grouping: Grouping, k: Rows, v: Rows, out: Rows, rows: number): void {
    const floats = (x: Rows) => this.heap.floats((x as HeapRows).address, rows * x.width);
    hostDistortions(grouping, floats(k), floats(v), floats(out), rows);
  }

  storeRows(k: Rows, v: Rows, plans: readonly StorePlan[]): void {
    for (const { segment, firstSlot, rows } of plans) {
      const store = segment.store as WasmPages;
      const groupSize = k.width / (store.heads * store.headDim);
      rows.forEach((row, i) => {
        const slot = firstSlot + i;
        const page = segment.pages[Math.floor(slot / TOKENS_PER_PAGE)]!;
        const place = { page, offset: slot % TOKENS_PER_PAGE };
        store.store(place, (k as HeapRows).row(row), (v as HeapRows).row(row), groupSize);
      });
    }
  }
}
