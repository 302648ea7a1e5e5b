import type { ComparisonConfigInput } from '../comparison/config';

/**
 * The comparison of the paper (its Sections 4.2 and 4.4) at half the KV cache: the unmodified model as the
 * ceiling, the two baselines, two ratio settings of mixSGA, and its two ablations.
 */
export const methods = [
  { name: 'MHA', attention: 'mha' },
  { name: 'GQA 2', attention: 'gqa:2' },
  { name: 'CLA 2', attention: 'cla:2' },
  { name: 'mixSGA 3:1:6', attention: 'mixsga:3:1:6' },
  { name: 'mixSGA 1:1:2', attention: 'mixsga:1:1:2' },
  { name: 'mixSGA 3:1:6, random router', attention: 'mixsga:3:1:6', router: 'random' },
  { name: 'mixSGA 3:1:6, no consistency loss', attention: 'mixsga:3:1:6', alpha: 0 },
] satisfies ComparisonConfigInput['methods'];
