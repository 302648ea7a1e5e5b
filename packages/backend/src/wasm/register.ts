import * as tf from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { adamwWasm } from '../kernels/adamw/wasm';
import { causalAttentionWasm } from '../kernels/causal-attention/wasm';
import { embeddingWasm } from '../kernels/embedding/wasm';
import { expertChoiceWasm } from '../kernels/expert-choice/wasm';
import { gatedActivationWasm } from '../kernels/gated-activation/wasm';
import { groupMeanWasm } from '../kernels/group-mean/wasm';
import { layerNormWasm } from '../kernels/layer-norm/wasm';
import { linearCrossEntropyWasm } from '../kernels/linear-cross-entropy/wasm';
import { linearDistillationWasm } from '../kernels/linear-distillation/wasm';
import { linearWasm } from '../kernels/linear/wasm';
import { rmsNormWasm } from '../kernels/rms-norm/wasm';
import { rotateWasm } from '../kernels/rotate/wasm';
import type { WasmBackend } from './heap';
import { address, elementAt, int32View, output, scratch } from './heap';
import type { WasmHeap, WasmKernel } from './kernel';
import type { LoadedKernels, WasmKernels } from './module';
import { loadWasmKernels } from './module';

const catalog: readonly WasmKernel[] = [
  ...linearWasm,
  ...layerNormWasm,
  ...rmsNormWasm,
  ...rotateWasm,
  ...gatedActivationWasm,
  ...embeddingWasm,
  ...causalAttentionWasm,
  ...linearCrossEntropyWasm,
  ...linearDistillationWasm,
  ...groupMeanWasm,
  ...expertChoiceWasm,
  ...adamwWasm,
];

const loaded = new WeakMap<object, LoadedKernels>();

/**
 * Loads the side module into the active wasm backend and registers its kernels with tfjs.
 * @returns which SIMD build runs
 * @throws Error when the backend's memory is not where this version of tfjs has it, or the self-test fails
 */
export async function registerWasmKernels(): Promise<LoadedKernels['simd']> {
  const backend = tf.backend() as WasmBackend;
  const module = loaded.get(backend) ?? (await loadWasmKernels(backend));
  if (!loaded.has(backend)) {
    selfTest(backend, module.kernels);
    loaded.set(backend, module);
  }
  for (const { name, run } of catalog) {
    if (tf.getKernel(name, 'wasm')) continue;
    tf.registerKernel({
      kernelName: name,
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs, backend: active }) => {
        const wasmBackend = active as WasmBackend;
        const { kernels } = loaded.get(wasmBackend)!;
        return run(inputs as Record<string, TensorInfo | undefined>, attrs ?? {}, heapOf(wasmBackend, kernels));
      },
    });
  }
  return module.simd;
}

/** The heap of the active wasm backend with its kernels, or null where they are not loaded. */
export function activeHeap(): WasmHeap | null {
  const module = tf.getBackend() === 'wasm' ? loaded.get(tf.backend()) : undefined;
  return module ? heapOf(tf.backend() as WasmBackend, module.kernels) : null;
}

const heaps = new WeakMap<object, WasmHeap>();

function heapOf(backend: WasmBackend, kernels: WasmKernels): WasmHeap {
  let heap = heaps.get(backend);
  if (!heap) {
    heap = {
      kernels,
      address: (tensor) => address(backend, tensor),
      output: (shape, dtype) => output(backend, shape, dtype),
      scratch: (floats) => scratch(backend, floats),
      int32View: (tensor) => int32View(backend, tensor),
      writeFloat32: (start, value) => {
        backend.wasm.HEAPF32[elementAt(start)] = value;
      },
      int32s: (start, count) => backend.wasm.HEAP32.subarray(elementAt(start), elementAt(start) + count),
      floats: (start, count) => backend.wasm.HEAPF32.subarray(elementAt(start), elementAt(start) + count),
    };
    heaps.set(backend, heap);
  }
  return heap;
}

// Addresses and memory belong to tfjs; if a release moved them, this says so before any number goes wrong.
function selfTest(backend: WasmBackend, kernels: WasmKernels): void {
  const x = tf.tensor1d([1, 2, 3, 4, 5]);
  const sum = kernels.sumOfSquares(address(backend, x), 5);
  x.dispose();
  if (sum !== 55) throw new Error(`the wasm kernels read other memory than tfjs writes (got ${sum}, expected 55)`);
}
