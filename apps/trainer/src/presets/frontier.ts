import type { ComparisonConfigInput } from '../comparison/config';
import { compareSotuLong } from './compare-sotu-long';
import type { Method } from './preset';

/** From the unmodified model, the same for every method. */
const distillation = { weight: 1 };

/**
 * Every variant that is trained, a line each; a series is a line of the plot. Each kind has the learning rate that did best under decode routing in
 * a sweep of 150,000 tokens at half of the cache (docs/results.md).
 */
const variants: Method[] = [
  { name: 'MHA', series: 'MHA', attention: 'mha', learningRate: 2e-4 },

  { name: 'GQA 2', series: 'GQA', attention: 'gqa:2', learningRate: 5e-4 },
  { name: 'GQA 4', series: 'GQA', attention: 'gqa:4', learningRate: 5e-4 },
  { name: 'GQA 8', series: 'GQA', attention: 'gqa:8', learningRate: 5e-4 },

  { name: 'GQA 2, aligned', series: 'GQA, aligned', attention: 'gqa:2', align: true, learningRate: 5e-4 },
  { name: 'GQA 4, aligned', series: 'GQA, aligned', attention: 'gqa:4', align: true, learningRate: 5e-4 },
  { name: 'GQA 8, aligned', series: 'GQA, aligned', attention: 'gqa:8', align: true, learningRate: 5e-4 },

  { name: 'CLA 2', series: 'CLA', attention: 'cla:2', learningRate: 5e-4 },
  { name: 'CLA 4', series: 'CLA', attention: 'cla:4', learningRate: 5e-4 },

  { name: 'mixSGA 3:1:1', series: 'mixSGA', attention: 'mixsga:3:1:1', learningRate: 1e-3 },
  { name: 'mixSGA 3:1:6', series: 'mixSGA', attention: 'mixsga:3:1:6', learningRate: 1e-3 },
  { name: 'mixSGA 1:1:6', series: 'mixSGA', attention: 'mixsga:1:1:6', learningRate: 1e-3 },
  { name: 'mixSGA 1:1:2 of 2, 4, 8', series: 'mixSGA', attention: 'mixsga:1:1:2@2,4,8', learningRate: 1e-3 },

  { name: 'mixSGA 3:1:1, aligned', series: 'mixSGA, aligned', attention: 'mixsga:3:1:1', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 3:1:6, aligned', series: 'mixSGA, aligned', attention: 'mixsga:3:1:6', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 1:1:6, aligned', series: 'mixSGA, aligned', attention: 'mixsga:1:1:6', align: true, learningRate: 5e-4 },
  { name: 'mixSGA 1:1:2 of 2, 4, 8, aligned', series: 'mixSGA, aligned', attention: 'mixsga:1:1:2@2,4,8', align: true, learningRate: 5e-4 },

  { name: 'GQA 2, aligned, distilled', series: 'GQA, aligned, distilled', attention: 'gqa:2', align: true, distillation, learningRate: 5e-4 },
  { name: 'GQA 4, aligned, distilled', series: 'GQA, aligned, distilled', attention: 'gqa:4', align: true, distillation, learningRate: 1e-3 },
  { name: 'GQA 8, aligned, distilled', series: 'GQA, aligned, distilled', attention: 'gqa:8', align: true, distillation, learningRate: 1e-3 },

  { name: 'CLA 2, distilled', series: 'CLA, distilled', attention: 'cla:2', distillation, learningRate: 1e-3 },
  { name: 'CLA 4, distilled', series: 'CLA, distilled', attention: 'cla:4', distillation, learningRate: 1e-3 },

  { name: 'mixSGA 3:1:1, aligned, distilled', series: 'mixSGA, aligned, distilled', attention: 'mixsga:3:1:1', align: true, distillation, learningRate: 1e-3 },
  { name: 'mixSGA 3:1:6, aligned, distilled', series: 'mixSGA, aligned, distilled', attention: 'mixsga:3:1:6', align: true, distillation, learningRate: 1e-3 },
  { name: 'mixSGA 1:1:6, aligned, distilled', series: 'mixSGA, aligned, distilled', attention: 'mixsga:1:1:6', align: true, distillation, learningRate: 1e-3 },
  { name: 'mixSGA 1:1:2 of 2, 4, 8, aligned, distilled', series: 'mixSGA, aligned, distilled', attention: 'mixsga:1:1:2@2,4,8', align: true, distillation, learningRate: 1e-3 },
];

/**
 * Perplexity against KV bytes per token from 12.5 % of the cache to all of it: the protocol of `compare/sotu-long`, for every variant. Three seeds,
 * about three hours on two idle cores.
 */
export const frontier = { ...compareSotuLong, methods: variants, tasks: [{ task: 'perplexity', name: 'int8', kv: 'int8', maxWindows: 256 }] } satisfies ComparisonConfigInput;
