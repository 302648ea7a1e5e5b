import { type OptConfig, parseOptConfig } from '@mixsga/models';

/** Shape of the OPT model that a benchmark runs. */
export interface ModelShape {
  layers: number;
  hiddenSize: number;
  heads: number;
  ffnSize: number;
  vocabularySize: number;
}

/** @param positions tokens that a sequence can have */
export function optConfig(shape: ModelShape, attention: string, positions: number): OptConfig {
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
