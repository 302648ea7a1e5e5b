export * from './errors';
export * from './kernels/index';
export { SeededRandom } from './random';
