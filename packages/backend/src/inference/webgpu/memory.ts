import type { Tensor } from '@tensorflow/tfjs-core';
import type { WebgpuDevice } from '../../webgpu/device';
import { copyProgram, elementwise } from './rows';

/** The power of two at or above a size: tfjs keeps buffers for reuse by their exact size, and never lets go of one. */
export function roundUp(size: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(size, 64)));
}

/** Working memory of the runtimes on a device. What is in it is needed by the dispatches that follow at once. */
export class Workspace {
  /** Where programs find lists of integers. */
  readonly numbers: Numbers;
  /** What the parts of an attention give to the program that puts them together. */
  readonly partials: Scratch;
  /** What an attention's probabilities are computed from. */
  readonly sums: Scratch;
  static readonly #all = new WeakMap<WebgpuDevice, Workspace>();

  static of(device: WebgpuDevice): Workspace {
    let workspace = this.#all.get(device);
    if (!workspace) this.#all.set(device, (workspace = new Workspace(device)));
    return workspace;
  }

  private constructor(device: WebgpuDevice) {
    this.numbers = new Numbers(device);
    this.partials = new Scratch(device);
    this.sums = new Scratch(device);
  }
}

/** Lists of integers for programs, each written where none was since the last submission. */
class Numbers {
  #tensor: Tensor;
  #used = 0;

  constructor(readonly device: WebgpuDevice) {
    this.#tensor = device.tensor([1 << 14], 'int32');
  }

  get tensor(): Tensor {
    return this.#tensor;
  }

  /** Where in {@link tensor} the list begins. The tensor may be another one afterwards. */
  put(list: Int32Array): number {
    if (this.#used + list.length > this.#tensor.size) {
      // Dispatches that have not been submitted keep the old one.
      this.#tensor.dispose();
      this.#tensor = this.device.tensor([roundUp(this.#tensor.size + list.length)], 'int32');
      this.#used = 0;
    }
    const first = this.#used;
    this.device.write(this.#tensor, first, list);
    this.#used += list.length;
    return first;
  }

  /** Called when all that was recorded has been submitted. */
  submitted(): void {
    this.#used = 0;
  }
}

/** A float32 tensor that grows and forgets. */
class Scratch {
  #tensor: Tensor | null = null;

  constructor(readonly device: WebgpuDevice) {}

  /** A tensor of at least `size` elements. */
  take(size: number): Tensor {
    if (this.#tensor && this.#tensor.size >= size) return this.#tensor;
    this.#tensor?.dispose();
    this.#tensor = null;
    return (this.#tensor = this.device.tensor([roundUp(size)], 'float32'));
  }
}

/** What a step collects for the host: a tensor that grows and remembers. */
export class Column {
  #tensor: Tensor;
  #used = 0;

  constructor(
    readonly device: WebgpuDevice,
    dtype: 'float32' | 'int32',
  ) {
    this.#tensor = device.tensor([64], dtype);
  }

  get tensor(): Tensor {
    return this.#tensor;
  }

  get used(): number {
    return this.#used;
  }

  /** Room for `count` elements more: where it begins. */
  reserve(count: number): number {
    const first = this.#used;
    if (first + count > this.#tensor.size) {
      const old = this.#tensor;
      this.#tensor = this.device.tensor([roundUp(first + count)], old.dtype as 'float32' | 'int32');
      if (first > 0) {
        this.device.run(copyProgram, {
          result: this.#tensor,
          inputs: { source: old },
          uniforms: { width: first, first: 0, stride: 0, to: 0, toStride: 0 },
          groups: elementwise(first),
        });
      }
      old.dispose();
    }
    this.#used += count;
    return first;
  }

  dispose(): void {
    this.#tensor.dispose();
  }
}
