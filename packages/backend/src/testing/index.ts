export { kernelCases } from '../kernels/cases';
export { compareValues, read } from './compare';
export type { Comparison, Values } from './compare';
export { checkKernelCase } from './conformance';
export type { CaseReport, Verdict } from './conformance';
export { integers, normal, normalWith } from './inputs';
export type { KernelCase } from './kernel-case';
export { expectNoLeaks } from './leaks';
export { stockCases } from './stock-cases';
