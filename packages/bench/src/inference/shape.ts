import type { ModelShape } from '../model-shape';

/** That of OPT-125m, with a vocabulary of 32,000. */
export const OPT_125M_SHAPE: ModelShape = { layers: 12, hiddenSize: 768, heads: 12, ffnSize: 3072, vocabularySize: 32000 };

/** The attention variants that are compared. */
export const ATTENTIONS = ['mha', 'gqa:2', 'mixsga:3:1:6'] as const;
