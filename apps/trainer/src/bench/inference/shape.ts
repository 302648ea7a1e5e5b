import { type OptConfig, parseOptConfig } from '@mixsga/models';

/** Shape of the model that an inference benchmark runs. */
export interface InferenceShape {
  layers: number;
  hiddenSize: number;
  heads: number;
  ffnSize: number;
  vocabularySize: number;
}

/** That of OPT-125m, with a vocabulary of 32,000. */
export const OPT_125M_SHAPE: InferenceShape = { layers: 12, hiddenSize: 768, heads: 12, ffnSize: 3072, vocabularySize: 32000 };

/** The attention variants that are compared. */
export const ATTENTIONS = ['mha', 'gqa:2', 'mixsga:3:1:6'] as const;

export function optConfig(shape: InferenceShape, attention: string, positions: number): OptConfig {
  return parseOptConfig(
    {
      model_type: 'opt',
      vocab_size: shape.vocabularySize,
      hidden_size: shape.hiddenSize,
      num_hidden_layers: shape.layers,
      num_attention_heads: shape.heads,
      ffn_dim: shape.ffnSize,
      max_position_embeddings: positions,
      ...(attention === 'mha' ? {} : { mixsga: { attention } }),
    },
    'bench',
  );
}
