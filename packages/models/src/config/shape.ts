import type { AttentionSizes } from './keys';

/** The sizes of a model that generation and KV accounting follow from; heads as published. */
export interface ModelShape {
  /** `model_type` of its config.json. */
  readonly family: string;
  /** The attention variant that its config.json names: `mha` when it is as published. */
  readonly attention: string;
  readonly layers: number;
  readonly hiddenSize: number;
  /** Query heads. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Whether queries and keys are turned by their positions. */
  readonly rotary: boolean;
  readonly vocabularySize: number;
  /** Tokens. */
  readonly contextLength: number;
}

/** The shape that a checked configuration of any family gives. */
export function modelShape(config: ModelConfig): ModelShape {
  const { hidden_size: hiddenSize, num_attention_heads: heads } = config;
  return {
    family: config.model_type,
    attention: config.mixsga?.attention ?? 'mha',
    layers: config.num_hidden_layers,
    hiddenSize,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headDim: config.head_dim ?? hiddenSize / heads,
    rotary: config.rope_theta !== undefined,
    vocabularySize: config.vocab_size,
    contextLength: config.max_position_embeddings,
  };
}

/** What the configurations of all families have, under the names of Hugging Face's config.json. Each family has a type of its own. */
export interface ModelConfig extends AttentionSizes {
  /** The family. */
  readonly model_type: string;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly bos_token_id?: number | null;
  readonly eos_token_id?: number | number[] | null;
  readonly pad_token_id?: number | null;
  /** Standard deviation of new matrices. */
  readonly init_std?: number;
}
