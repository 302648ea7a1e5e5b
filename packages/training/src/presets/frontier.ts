import type { ComparisonConfigInput } from '../comparison/config';
import { compareSotuLong } from './compare-sotu-long';
import type { Method } from './preset';

/** Windows of 256 tokens through a cache. */
const cached = { task: 'perplexity', maxWindows: 256 } as const;
/** KV budgets in bytes: unmodified, a window takes 1,048,576. */
const budget = (kvBudget: number) => ({ ...cached, name: `KV budget at ${kvBudget} bytes`, kvBudget });
/** Shares of the tokens. */
const h2o = (share: number) => ({ ...cached, name: `H2O at ${256 * share} tokens`, eviction: `h2o:${share}` });

/**
 * Every variant that is trained, a line each; a series is a line of the plot. Each kind has the learning rate that did best under decode routing in
 * a sweep of 150,000 tokens (docs/results.md, docs/beyond.md).
 */
const variants: Method[] = [
  { name: 'MHA', series: 'MHA', attention: 'mha', learningRate: 2e-4, tasks: [1 / 4, 1 / 8, 1 / 16].map(h2o) },

  { name: 'GQA 2, aligned', series: 'GQA, aligned', attention: 'gqa:2', align: true, learningRate: 5e-4 },
  { name: 'GQA 4, aligned', series: 'GQA, aligned', attention: 'gqa:4', align: true, learningRate: 5e-4 },
  { name: 'GQA 8, aligned', series: 'GQA, aligned', attention: 'gqa:8', align: true, learningRate: 5e-4 },

  { name: 'CLA 2', series: 'CLA', attention: 'cla:2', learningRate: 5e-4 },
  { name: 'CLA 4', series: 'CLA', attention: 'cla:4', learningRate: 5e-4 },

  { name: 'mixSGA 3:1:6, aligned', series: 'mixSGA, aligned', attention: 'mixsga:3:1:6', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 1:1:2 of 2, 4, 8, aligned', series: 'mixSGA, aligned', attention: 'mixsga:1:1:2@2,4,8', align: true, learningRate: 5e-4 },

  { name: 'mixSGA 3:1:6, distortion router, aligned', series: 'mixSGA 3:1:6, distortion router, aligned', attention: 'mixsga:3:1:6', router: 'distortion', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 2:4:4, distortion router, aligned', series: 'mixSGA, distortion router, aligned', attention: 'mixsga:2:4:4', router: 'distortion', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 1:1:2 of 2, 4, 8, distortion router, aligned', series: 'mixSGA, distortion router, aligned', attention: 'mixsga:1:1:2@2,4,8', router: 'distortion', align: true, learningRate: 5e-4 },

  { name: 'Latent 1/2', series: 'latent', attention: 'latent:1@2', learningRate: 2e-4, tasks: [...[1 / 2, 1 / 4, 1 / 8].map(h2o), ...[262_144, 131_072, 65_536].map(budget)] },
  { name: 'Latent 1/4', series: 'latent', attention: 'latent:1@4', learningRate: 2e-4 },
  { name: 'Latent 1/8', series: 'latent', attention: 'latent:1@8', learningRate: 2e-4 },
  { name: 'Latent 1/16', series: 'latent', attention: 'latent:1@16', learningRate: 2e-4 },
];

/**
 * Perplexity against KV bytes per token from 6.25 % of the cache to all of it: the protocol of `compare/sotu-long`, for every variant. Three seeds,
 * about two hours on two idle cores.
 */
export const frontier = { ...compareSotuLong, methods: variants } satisfies ComparisonConfigInput;
