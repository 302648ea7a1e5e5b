import type { WasmHeap } from '../../wasm/kernel';
import type { DenseLayer, RouterWeights } from '../runtime';
import { allOrNone, type Block, blockOf } from './memory';

export class PackedRouter implements RouterWeights {
  readonly experts: number;
  readonly #heap: WasmHeap;
  readonly #inputs: number;
  readonly #weight: Block;
  readonly #bias: Block;

  constructor(heap: WasmHeap, { weight, bias, outputs, inputs }: DenseLayer) {
    this.#heap = heap;
    this.#inputs = inputs;
    this.experts = outputs;
    const values = [weight, bias ?? new Float32Array(outputs)];
    [this.#weight, this.#bias] = allOrNone(values.map((numbers) => () => blockOf(heap, numbers))) as [Block, Block];
  }

  get bytes(): number {
    return this.#weight.bytes + this.#bias.bytes;
  }

  /** The arg max of sigmoid(x·wᵀ + bias) for x [D] at an address, ties to the lower: in float32, where large logits saturate to one score. */
  decide(x: number): number {
    const { experts } = this;
    const address = this.#heap.scratch(experts);
    this.#heap.kernels.routerLogits(x, this.#weight.address, this.#bias.address, address, this.#inputs, experts);
    const logits = this.#heap.floats(address, experts);
    let best = 0;
    let highest = -1;
    for (let expert = 0; expert < experts; expert++) {
      const score = Math.fround(1 / (1 + Math.exp(-logits[expert]!)));
      if (score > highest) [best, highest] = [expert, score];
    }
    return best;
  }

  dispose(): void {
    this.#weight.dispose();
    this.#bias.dispose();
  }
}
