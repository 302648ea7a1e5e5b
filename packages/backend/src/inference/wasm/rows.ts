import type { WasmHeap } from '../../wasm/kernel';
import type { Rows, Vector } from '../runtime';
import { Block, blockOf } from './memory';

export class HeapRows extends Block implements Rows {
  constructor(
    heap: WasmHeap,
    readonly capacity: number,
    readonly width: number,
  ) {
    super(heap, 4 * capacity * width);
  }

  row(row: number): number {
    return this.address + 4 * row * this.width;
  }
}

export class HeapVector implements Vector {
  readonly size: number;
  readonly #block: Block;

  constructor(heap: WasmHeap, values: Float32Array) {
    this.size = values.length;
    this.#block = blockOf(heap, values);
  }

  get address(): number {
    return this.#block.address;
  }

  get bytes(): number {
    return this.#block.bytes;
  }

  dispose(): void {
    this.#block.dispose();
  }
}
