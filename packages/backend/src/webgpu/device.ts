// The one place that touches internals of the TensorFlow.js webgpu backend: its programs, its buffers and its queue. They
// are public but undocumented, so tfjs is pinned and `selfTest` tries them when the backend starts.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, Rank, Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError, DeviceLostError } from '../errors';
import { firstLine } from '../platform/node';

interface WebgpuBackend extends KernelBackend {
  readonly device: GPUDevice;
  readonly tensorMap: { get(dataId: object): { values: ArrayLike<number> | null; readonly resource: GPUBuffer } };
  makeTensorInfo(shape: number[], dtype: 'float32' | 'int32', values?: Float32Array | Int32Array): TensorInfo;
  uploadToGPU(dataId: object): void;
  disposeData(dataId: object): boolean;
  read(dataId: object): Promise<Float32Array | Int32Array>;
  runWebGPUProgram(
    program: object, inputs: readonly TensorInfo[], dtype: string, uniforms: { type: string; data: number[] }[], output: TensorInfo,
  ): TensorInfo;
}

/**
 * A compute program in WGSL. It reads input tensors and one that it also writes, `result`, as flat arrays; a tensor can't be
 * both an input and the result.
 */
export interface Program<Input extends string = string, Uniform extends string = string> {
  /** No other program has it. */
  readonly key: string;
  /** Those that the code reads, each of them. */
  readonly inputs: readonly Input[];
  /** Inputs that are arrays of vectors of this many elements. */
  readonly vectors?: Partial<Readonly<Record<Input, 2 | 4>>>;
  readonly uniforms: Readonly<Record<Uniform, 'i32' | 'f32'>>;
  /** Threads of a workgroup. */
  readonly threads: number;
  /** Declarations and `fn main()`, which finds its place in `workgroupId` and `localId`. */
  readonly code: string;
}

export interface Call<Input extends string, Uniform extends string> {
  readonly result: TensorInfo;
  /** Null for what the program does not read. */
  readonly inputs: Readonly<Record<Input, TensorInfo | null>>;
  readonly uniforms: Readonly<Record<Uniform, number>>;
  /** Workgroups in x and y. */
  readonly groups: readonly [x: number, y: number];
}

const devices = new WeakMap<KernelBackend, WebgpuDevice>();
const losses = new WeakMap<GPUDevice, string>();

/**
 * The device of a webgpu backend of TensorFlow.js. When it is lost, operations and reads of tfjs throw a DeviceLostError too, not
 * only those of this class.
 */
export class WebgpuDevice {
  /** Compute dispatches so far, those of stock operations included. */
  dispatches = 0;
  /** Operations that the device refused so far; their results are wrong. */
  refusals = 0;
  /** Why, of the last one. */
  lastRefusal = '';
  readonly #backend: WebgpuBackend;
  #tested: Promise<void> | null = null;
  #fault: string | null = null;

  static of(backend: KernelBackend): WebgpuDevice {
    let device = devices.get(backend);
    if (!device) devices.set(backend, (device = new WebgpuDevice(backend as WebgpuBackend)));
    return device;
  }

  private constructor(backend: WebgpuBackend) {
    this.#backend = backend;
    const { device } = backend;
    void device.lost.then(({ reason, message }) => losses.set(device, message || reason));
    device.addEventListener('uncapturederror', ({ error }) => {
      this.refusals++;
      this.lastRefusal = firstLine(error.message);
    });
    const { runWebGPUProgram, read } = backend;
    backend.runWebGPUProgram = (...args) => {
      this.expectAlive();
      this.dispatches++;
      return runWebGPUProgram.apply(backend, args);
    };
    // tfjs itself fails without a message.
    backend.read = (dataId) => read.call(backend, dataId).catch((error: unknown) => this.#explain(error));
  }

  /** Why the device was lost, or null while it works. */
  get loss(): string | null {
    return losses.get(this.#backend.device) ?? null;
  }

  /** What {@link selfTest} found wrong; null when nothing is, or it has not run. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Bytes that one tensor can have. */
  get maxTensorBytes(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.#backend.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize);
  }

  /** @throws DeviceLostError when the device is gone */
  expectAlive(): void {
    const { loss } = this;
    if (loss !== null) throw lost(loss);
  }

  /**
   * A tensor that no tidy disposes, on the device at once. Without values its contents are undefined.
   * @throws BackendError when it is larger than a buffer can be
   */
  tensor(shape: number[], dtype: 'float32' | 'int32', values?: Float32Array | Int32Array): Tensor<Rank> {
    this.expectAlive();
    const bytes = 4 * tf.util.sizeFromShape(shape);
    if (bytes > this.maxTensorBytes) {
      throw new BackendError(
        `webgpu: expected tensors of at most ${this.maxTensorBytes} bytes, which is what a buffer of this device can have, ` +
          `got one of shape [${shape.join(', ')}]; use a smaller model, or weights of fewer bits`,
      );
    }
    const info = this.#backend.makeTensorInfo(shape, dtype, values);
    this.#backend.uploadToGPU(info.dataId);
    return tf.keep(tf.engine().makeTensorFromTensorInfo(info, this.#backend));
  }

  /** Records a dispatch; the result is written in place. */
  run<Input extends string, Uniform extends string>(program: Program<Input, Uniform>, call: Call<Input, Uniform>): void {
    this.expectAlive();
    const { key, inputs, vectors, uniforms, threads, code } = program;
    // Sizes are the program's own uniforms. tfjs compiles a program again for other ranks and for shapes that are equal or
    // not, so the same is reported of all.
    const described = (tensor: TensorInfo, size: number): TensorInfo => ({ ...infoOf(tensor), shape: [size] });
    const names = Object.keys(uniforms) as Uniform[];
    this.#backend.runWebGPUProgram(
      {
        shaderKey: `mixsga ${key}`,
        variableNames: inputs,
        variableComponents: inputs.map((input) => vectors?.[input] ?? 1),
        uniforms: names.map((name) => `${name} : ${uniforms[name]},`).join(' '),
        outputShape: [1],
        workgroupSize: [threads, 1, 1],
        dispatchLayout: { x: [0], y: [1], z: [2] },
        dispatch: [...call.groups, 1],
        getUserCode: () => code,
      },
      inputs.map((input) => described(call.inputs[input]!, 2)),
      call.result.dtype,
      names.map((name) => ({ type: uniforms[name] === 'i32' ? 'int32' : 'float32', data: [call.uniforms[name]] })),
      described(call.result, 1),
    );
    // tfjs would answer later reads from the copy that an earlier one left.
    this.#backend.tensorMap.get(call.result.dataId).values = null;
  }

  /** Overwrites elements of an int32 tensor, before whatever has not been submitted yet runs. */
  write(tensor: TensorInfo, first: number, values: Int32Array): void {
    this.expectAlive();
    const { resource } = this.#backend.tensorMap.get(tensor.dataId);
    this.#backend.device.queue.writeBuffer(resource, 4 * first, values as Int32Array<ArrayBuffer>);
  }

  /**
   * The contents of a tensor, once everything recorded so far has run. All of it is submitted when this returns its promise.
   * @throws DeviceLostError when the device is gone, before or meanwhile
   * @throws BackendError when the read fails
   */
  async read(tensor: TensorInfo): Promise<Float32Array | Int32Array> {
    this.expectAlive();
    return this.#backend.read(tensor.dataId);
  }

  /** Runs stock operations, small ones too on the device. */
  stock<T>(operations: () => T): T {
    this.expectAlive();
    const forward = tf.env().getBool('WEBGPU_CPU_FORWARD');
    tf.env().set('WEBGPU_CPU_FORWARD', false);
    try {
      return operations();
    } finally {
      tf.env().set('WEBGPU_CPU_FORWARD', forward);
    }
  }

  /** Tries, once, what this class takes for granted of tfjs. What does not hold becomes the {@link fault}. */
  selfTest(): Promise<void> {
    return (this.#tested ??= this.#test().catch((error: unknown) => {
      this.#fault = firstLine(error);
    }));
  }

  async #explain(error: unknown): Promise<never> {
    // A read fails a moment before the loss is announced.
    await Promise.race([this.#backend.device.lost, new Promise((resolve) => setTimeout(resolve, 200))]);
    this.expectAlive();
    throw new BackendError(`webgpu: expected to read a tensor, got an error: ${firstLine(error)}`, { cause: error });
  }

  async #test(): Promise<void> {
    const sums = this.tensor([3], 'float32', Float32Array.of(1, 2, 4));
    const numbers = this.tensor([4], 'int32');
    const add = () =>
      this.run(accumulate, { result: sums, inputs: { numbers }, uniforms: { at: 1, factor: 0.5 }, groups: [1, 1] });
    try {
      this.write(numbers, 2, Int32Array.of(10, 20));
      add();
      add();
      await this.#expect(sums, [1, 14.5, 16.5]);
      this.write(numbers, 3, Int32Array.of(-20));
      add();
      await this.#expect(sums, [1, 18.25, 20.25]);
    } finally {
      tf.dispose([sums, numbers]);
    }
  }

  async #expect(tensor: TensorInfo, expected: number[]): Promise<void> {
    const got = [...(await this.read(tensor))];
    if (got.join() !== expected.join()) throw new BackendError(`programs of tfjs gave ${got.join(', ')}, expected ${expected.join(', ')}`);
  }
}

const accumulate: Program<'numbers', 'at' | 'factor'> = {
  key: 'self-test',
  inputs: ['numbers'],
  vectors: { numbers: 2 },
  uniforms: { at: 'i32', factor: 'f32' },
  threads: 2,
  code: `
    var<workgroup> terms : array<f32, 2>;
    fn main() {
      let t = i32(localId.x);
      let pair = numbers[uniforms.at];
      terms[t] = uniforms.factor * f32(select(pair.x, pair.y, t == 1));
      workgroupBarrier();
      result[uniforms.at + t] = result[uniforms.at + t] + terms[0] + terms[1] / 8.0;
    }`,
};

function infoOf({ dataId, dtype }: TensorInfo): Pick<TensorInfo, 'dataId' | 'dtype'> {
  return { dataId, dtype };
}

function lost(reason: string): DeviceLostError {
  return new DeviceLostError(
    `webgpu: the device was lost: ${reason.replace(/[.\s]+$/, '')}; start the backend again and load the model again`,
  );
}
