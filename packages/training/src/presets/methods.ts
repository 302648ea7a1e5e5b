import type { ComparisonConfigInput } from '../comparison/config';

/**
 * The comparison of the paper (its Sections 4.2 and 4.4) at half the KV cache: the unmodified model as the ceiling,
 * the two baselines, two ratio settings of mixSGA, its two ablations, and the one change to it that helped here. Each
 * method has the learning rate, and mixSGA the default α, that did best under decode routing in a sweep of 150,000
 * tokens (docs/results.md); the variants of mixSGA share those of 3:1:6.
 */
export const methods = [
  { name: 'MHA', attention: 'mha', learningRate: 2e-4 },
  { name: 'GQA 2', attention: 'gqa:2', learningRate: 5e-4 },
  { name: 'CLA 2', attention: 'cla:2', learningRate: 5e-4 },
  { name: 'mixSGA 3:1:6', attention: 'mixsga:3:1:6', learningRate: 1e-3 },
  { name: 'mixSGA 3:1:6, over the root', attention: 'mixsga-root:3:1:6', learningRate: 1e-3 },
  { name: 'mixSGA 1:1:2', attention: 'mixsga:1:1:2', learningRate: 1e-3 },
  { name: 'mixSGA 3:1:6, random router', attention: 'mixsga:3:1:6', router: 'random', learningRate: 1e-3 },
  { name: 'mixSGA 3:1:6, no consistency loss', attention: 'mixsga:3:1:6', learningRate: 1e-3, alpha: 0 },
] satisfies ComparisonConfigInput['methods'];
