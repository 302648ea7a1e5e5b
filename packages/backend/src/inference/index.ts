import * as tf from '@tensorflow/tfjs-core';
import { referenceForced } from '../kernels/dispatch';
import { expectBackend } from '../platform/lifetime';
import { WebgpuDevice } from '../webgpu/device';
import { ReferenceRuntime } from './reference/runtime';
import type { InferenceRuntime } from './runtime';
import { createWasmRuntime } from './wasm/index';
import { WebgpuRuntime } from './webgpu/runtime';

export { HostPages, slotOf } from './host-pages';
export { dequantiseHeads, headBytes, kvTypes, quantiseHeads } from './kv-type';
export type { KvType, Packing, QuantisedHeads } from './kv-type';
export { TOKENS_PER_PAGE } from './pages';
export type { PageStore, Segment, Slot, TokenMove } from './pages';
export { poolingFactor } from './pooling';
export type { Pooling } from './pooling';
export { weightTypes } from './runtime';
export type {
  ApplyOptions, AttendOptions, CausalOptions, DenseLayer, DeviceWork, GroupedKernels, Grouping, InferenceRuntime, KvLayer, KvWeights, LatentKernels, LatentLayer, LatentWeights, LayerView, LinearWeights,
  PageFormat, PromptRuntime, Resident, RmsNormOptions, Route, RouterWeights, RowLikelihood, Rows, StepResult, StorePlan, TokenRouter, TokenRuntime, Vector, VectorRuntime, WeightType,
} from './runtime';
export { streamingBandwidth } from './wasm/index';

/** Runtimes of this package's own kernels, by backend; null where they can't be used. */
const fused: Readonly<Record<string, () => InferenceRuntime | null>> = {
  wasm: createWasmRuntime,
  webgpu: () => (WebgpuDevice.of(tf.backend()).fault === null ? new WebgpuRuntime() : null),
};

/**
 * What inference runs on, for the active backend: kernels of this package where it has them, elsewhere (and with
 * `useReferenceKernels(true)`) their reference. Weights, buffers and pages work only with the runtime that made them, while its
 * backend is the active one.
 * @throws BackendError when no backend was started
 */
export function createRuntime(): InferenceRuntime {
  expectBackend('createRuntime');
  return (referenceForced() ? null : fused[tf.getBackend()]?.()) ?? new ReferenceRuntime();
}
