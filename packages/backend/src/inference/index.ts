import type { InferenceRuntime } from './runtime';
import { ReferenceRuntime } from './reference/runtime';

export { HostPages, slotOf } from './host-pages';
export { TOKENS_PER_PAGE } from './pages';
export type { PageStore, Segment, Slot } from './pages';
export { weightTypes } from './runtime';
export type {
  ApplyOptions, AttendOptions, CausalOptions, DenseLayer, DeviceWork, InferenceRuntime, KvLayer, KvWeights, LayerView,
  LinearWeights, Pooling, Resident, Route, Rows, StepResult, StorePlan, TokenRouter, Vector, WeightType,
} from './runtime';

/**
 * What inference runs on, for the active backend. Weights, buffers and pages work only with the runtime that made them,
 * while its backend is the active one.
 */
export function createRuntime(): InferenceRuntime {
  return new ReferenceRuntime();
}
