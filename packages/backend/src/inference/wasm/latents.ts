import type { WasmHeap } from '../../wasm/register';
import type { AttendOptions, LatentKernels, LatentLayer, LatentWeights, LayerView, Route, Rows, WeightType } from '../runtime';
import { attendSegments } from './attend';
import type { WasmLatents } from './pages';
import type { HeapRows } from './rows';
import { PackedLatents } from './weights';

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
    // In the working memory: queries, those of shorter latents or at last the sums, what the kernel needs.
    const [shorter, rest] = [4 * heads * rank, 8 * heads * rank];
    attendSegments(heap, view, route, { heads, width: rank, work: 2 * heads * rank + kernels.latentWork(heads, rank), onProbabilities }, {
      begin(work) {
        for (let head = 0; head < heads; head++) {
          queries[kvHead(head)]!.apply((q as HeapRows).row(row) + 4 * head * headDim, work + 4 * head * rank, 1, 0);
        }
        kernels.scale(work, scale * Math.LOG2E, heads * rank);
      },
      add({ store: { headDim: numbers, type }, table, start, tokens, state, weights, maxima }, work) {
        let query = work;
        if (numbers < rank) {
          query = work + shorter;
          for (let head = 0; head < heads; head++) {
            heap.floats(query + 4 * head * numbers, numbers).set(heap.floats(work + 4 * head * rank, numbers));
          }
        }
        kernels.attendLatents(
          query, table, type === 'int8', start, tokens, heads, numbers, rank, state, weights, maxima, onProbabilities !== undefined, work + rest,
        );
      },
      end(state, work) {
        const sums = work + shorter;
        kernels.attendEnd(state, heads, rank, sums);
        for (let head = 0; head < heads; head++) {
          values[kvHead(head)]!.apply(sums + 4 * head * rank, (out as HeapRows).row(row) + 4 * head * headDim, 1, 0);
        }
      },
    });
  }
}
