import type { Tensor } from '@tensorflow/tfjs-core';
import type { WebgpuDevice } from '../../webgpu/device';
import type { Route, StepResult } from '../runtime';
import { Column, roundUp, Workspace } from './memory';
import type { WebgpuRows } from './residents';
import { gatherArgMaxProgram, gatherValuesProgram, strided } from './rows';

export class DeviceRoute implements Route {
  /** @param at its index in the step's routes; −1 where the host knows the expert from the start */
  constructor(
    public expert: number | null,
    readonly at: number,
  ) {}
}

/** Probabilities on the device, to be reported when they are read. */
interface Observation {
  readonly first: number;
  readonly count: number;
  readonly tell: (probabilities: Float32Array) => void;
}

type Want = 'argMax' | 'values';

/** What the operations between two reads leave for the host, which takes it in one. */
export class Step {
  readonly #device: WebgpuDevice;
  readonly #order: DeviceRoute[] = [];
  readonly #observations: Observation[] = [];
  #routes: Column | null = null;
  #observed: Column | null = null;

  constructor(device: WebgpuDevice) {
    this.#device = device;
  }

  /** Where the experts of the step's routes are. */
  get routes(): Tensor {
    return this.#routeColumn.tensor;
  }

  /** Where probabilities are. */
  get observed(): Tensor {
    return this.#observedColumn.tensor;
  }

  /** @param expert null: a program will write it to {@link routes}, at the route's index */
  addRoute(expert: number | null): DeviceRoute {
    const route = new DeviceRoute(expert, expert === null ? this.#routeColumn.reserve(1) : -1);
    this.#order.push(route);
    return route;
  }

  /** Room for probabilities in {@link observed}: where it begins. */
  observe(count: number, tell: (probabilities: Float32Array) => void): number {
    const first = this.#observedColumn.reserve(count);
    this.#observations.push({ first, count, tell });
    return first;
  }

  /** Reads, as bits, the values or the arg max of each row, then the routes, then the probabilities. */
  async gather(x: WebgpuRows, rows: number, want: Want): Promise<Int32Array> {
    const { numbers } = Workspace.of(this.#device);
    const first = this.#first(x, rows, want);
    const routeCount = this.#routes?.used ?? 0;
    const count = first + routeCount + (this.#observed?.used ?? 0);
    const gathered = this.#device.tensor([roundUp(count)], 'int32');
    try {
      this.#device.run(want === 'values' ? gatherValuesProgram : gatherArgMaxProgram, {
        result: gathered,
        inputs: { x: x.tensor, routes: this.#routes?.tensor ?? numbers.tensor, observed: this.#observed?.tensor ?? x.tensor },
        uniforms: { first, width: x.width, routeCount, count },
        groups: want === 'values' ? strided(count) : [rows + 1, 1],
      });
      const reading = this.#device.read(gathered);
      numbers.submitted();
      return (await reading) as Int32Array;
    } finally {
      gathered.dispose();
    }
  }

  /** Takes what {@link gather} read: routes get their experts, and probabilities are reported. */
  settle(bits: Int32Array, x: WebgpuRows, rows: number, want: Want): StepResult {
    const first = this.#first(x, rows, want);
    let next = first;
    for (const route of this.#order) route.expert ??= bits[next++]!;
    const floats = new Float32Array(bits.buffer, bits.byteOffset, bits.length);
    for (const { first, count, tell } of this.#observations) tell(floats.subarray(next + first, next + first + count));
    return want === 'values'
      ? { argMax: null, values: floats.subarray(0, first) }
      : { argMax: bits.slice(0, first), values: null };
  }

  dispose(): void {
    this.#routes?.dispose();
    this.#observed?.dispose();
  }

  #first({ width }: WebgpuRows, rows: number, want: Want): number {
    return want === 'values' ? rows * width : rows;
  }

  get #routeColumn(): Column {
    return (this.#routes ??= new Column(this.#device, 'int32'));
  }

  get #observedColumn(): Column {
    return (this.#observed ??= new Column(this.#device, 'float32'));
  }
}
