// The one place that touches internals of the TensorFlow.js wasm backend: its memory, its allocator, and where a
// tensor lies. They are public but undocumented, so tfjs is pinned and `registerWasmKernels` tests them at start.
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { OutOfMemoryError } from '../out-of-memory';

export interface WasmBackend extends KernelBackend {
  readonly wasm: {
    readonly HEAP32: Int32Array;
    readonly HEAPF32: Float32Array;
    readonly asm?: { readonly memory?: WebAssembly.Memory };
    readonly wasmMemory?: WebAssembly.Memory;
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } };
  makeOutput(shape: number[], dtype: DataType): TensorInfo;
}

/** Address of a tensor's first byte. */
export function address(backend: WasmBackend, tensor: TensorInfo): number {
  return backend.dataIdMap.get(tensor.dataId).memoryOffset;
}

/** A new tensor with undefined contents. @throws OutOfMemoryError when the heap is full. */
export function output(backend: WasmBackend, shape: number[], dtype: DataType = 'float32'): TensorInfo {
  const none = (cause?: unknown) =>
    new OutOfMemoryError(`wasm: no memory left for a tensor of shape [${shape.join(', ')}]; use a smaller batch or a shorter sequence`, { cause });
  if (4 * shape.reduce((a, b) => a * b, 1) >= 2 ** 32) throw none();
  try {
    return backend.makeOutput(shape, dtype);
  } catch (error) {
    throw OutOfMemoryError.isInstance(error) ? none(error) : error;
  }
}

const checked = new WeakSet<object>();

/**
 * Makes the allocator throw where the heap cannot grow any further. It answers 0 then, or an address beyond the end of the heap, and the
 * kernels of tfjs would compute with whatever lies there.
 */
export function checkAllocations(backend: WasmBackend): void {
  const { wasm } = backend;
  if (checked.has(wasm)) return;
  checked.add(wasm);
  // Emscripten puts the function itself instead of a stub at the first call.
  wasm._free(wasm._malloc(1));
  const malloc = wasm._malloc.bind(wasm);
  wasm._malloc = (bytes) => {
    // It would take the number modulo 2³².
    const start = bytes < 2 ** 32 ? malloc(bytes) : 0;
    const end = memoryOf(backend)?.buffer.byteLength ?? 2 ** 32;
    if ((start !== 0 && (start >>> 0) + bytes <= end) || bytes === 0) return start;
    // An address beyond the end is not freed: the allocator has given part of it to nobody, and will give it to others.
    throw new OutOfMemoryError(`wasm: no memory left for ${bytes} bytes; use a smaller batch or a shorter sequence`);
  };
}

/** Bytes of a cache line. The allocator aligns to 8, and vector loads and stores across two lines are slow. */
export const CACHE_LINE = 64;

/** The next address that begins a cache line. */
export function alignedTo(address: number): number {
  return Math.ceil(address / CACHE_LINE) * CACHE_LINE;
}

const blocks = new WeakMap<object, { address: number; bytes: number }>();

/** Address of at least `floats` floats of working memory that begin at a cache line, valid until the next call. */
export function scratch(backend: WasmBackend, floats: number): number {
  const needed = floats * 4;
  const block = blocks.get(backend);
  if (block && block.bytes >= needed) return alignedTo(block.address);
  // By a quarter at least: what is asked for by a growing cache would leave a hole in the heap every few tokens.
  const bytes = Math.max(needed, Math.ceil((block?.bytes ?? 0) * 1.25));
  if (block) backend.wasm._free(block.address);
  blocks.delete(backend);
  const start = backend.wasm._malloc(bytes + CACHE_LINE);
  blocks.set(backend, { address: start, bytes });
  return alignedTo(start);
}

/** Index into HEAP32 or HEAPF32; the shift is unsigned, since addresses go beyond 2³¹. */
export function elementAt(address: number): number {
  return address >>> 2;
}

/** The int32 elements of a tensor, as a view that is valid until the heap grows. */
export function int32View(backend: WasmBackend, tensor: TensorInfo): Int32Array {
  const start = elementAt(address(backend, tensor));
  return backend.wasm.HEAP32.subarray(start, start + tensor.shape.reduce((a, b) => a * b, 1));
}

/** The memory that a side module imports. */
export function memoryOf(backend: WasmBackend): WebAssembly.Memory | undefined {
  return backend.wasm.wasmMemory ?? backend.wasm.asm?.memory;
}
