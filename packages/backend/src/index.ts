export * from './errors';
export * from './inference/index';
export * from './kernels/index';
export { describeBackends, startBackend } from './platform/index';
export type { BackendInfo } from './platform/index';
export type { BackendName, BackendReport, StartOptions } from './platform/platform';
export { trackTensors } from './platform/tensors';
export type { TensorGrowth } from './platform/tensors';
export { SeededRandom } from './random';
