import type { DataType, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { WasmKernels } from './module';

/** What a kernel sees of the wasm backend. */
export interface WasmHeap {
  readonly kernels: WasmKernels;
  address(tensor: TensorInfo): number;
  output(shape: number[], dtype?: DataType): TensorInfo;
  /** Working memory for one call, in floats. */
  scratch(floats: number): number;
  int32View(tensor: TensorInfo): Int32Array;
  writeFloat32(start: number, value: number): void;
  /** `count` int32 values at an address, as a view that is valid until the heap grows. */
  int32s(start: number, count: number): Int32Array;
  /** `count` floats at an address, as a view that is valid until the heap grows. */
  floats(start: number, count: number): Float32Array;
}

export interface WasmKernel {
  readonly name: string;
  run(inputs: Record<string, TensorInfo | undefined>, attributes: NamedAttrMap, heap: WasmHeap): TensorInfo[];
}
