export { benchDecode, type BenchDecodeOptions, formatBenchDecode } from './inference/decode';
export { benchPrefill, formatBenchPrefill } from './inference/prefill';
export { benchKernels, formatBenchKernels } from './kernels/kernels';
export { alignedTable } from './table';
export { benchTrain, formatBenchTrain } from './train/train';
