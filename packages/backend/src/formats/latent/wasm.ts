import type { WasmHeap } from '../../wasm/kernel';
import type { AttendOptions, LatentKernels, LatentLayer, LatentWeights, LayerView, Route, Rows, WeightType } from '../../inference/runtime';
import { attendSegments } from '../../inference/wasm/attend';
import type { WasmLatents } from '../../inference/wasm/pages';
import type { HeapRows } from '../../inference/wasm/rows';
import { PackedLatents } from '../../inference/wasm/weights';

/** Attention in the basis of the latents: no key or value is ever made of them. */
export class WasmLatentKernels implements LatentKernels {
  constructor(private readonly heap: WasmHeap) {}

  pack(layer: LatentLayer, type: WeightType): PackedLatents {
    return new PackedLatents(this.heap, layer, type);
  }

  store(weights: LatentWeights, x: Rows, row: number, { expert }: Route, { slots, segments }: LayerView): void {
    const { latent, rank } = weights as PackedLatents;
    const at = this.heap.scratch(rank + latent.scratch(1));
    latent.apply((x as HeapRows).row(row), at, 1, at + 4 * rank);
    (segments[expert!]!.store as WasmLatents).store(slots[expert!]!, at);
  }

  attend(
    weights: LatentWeights, q: Rows, row: number, view: LayerView, route: Route, out: Rows, { heads, scale, onProbabilities }: Omit<AttendOptions, 'softCap'>,
  ): void {
    const { heap } = this;
    const { kernels } = heap;
    const { rank, queries, values } = weights as PackedLatents;
    const headDim = q.width / heads;
    const kvHead = (head: number) => Math.floor((head * queries.length) / heads);
    const workFloats = kernels.latentWork(heads, rank);
    // Queries in the latents' basis come after what the kernel works on, and in their place what it sums.
    const softmax = { heads, width: rank, work: workFloats + heads * rank, onProbabilities };
    attendSegments(heap, view, route, softmax, ({ work, segments, count, weights, maxima }) => {
      const inBasis = (head: number) => work + 4 * (workFloats + head * rank);
      for (let head = 0; head < heads; head++) {
        queries[kvHead(head)]!.apply((q as HeapRows).row(row) + 4 * head * headDim, inBasis(head), 1, 0);
      }
      kernels.scale(inBasis(0), scale * Math.LOG2E, heads * rank);
      kernels.attendLatents(inBasis(0), segments, count, heads, rank, work, weights, maxima, inBasis(0));
      for (let head = 0; head < heads; head++) {
        values[kvHead(head)]!.apply(inBasis(head), (out as HeapRows).row(row) + 4 * head * headDim, 1, 0);
      }
    });
  }
}
