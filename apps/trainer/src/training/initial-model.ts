import type { InitialModel } from './config';

/** The ids of OPT, which the tokenizers trained here have too. */
const SPECIAL_TOKENS = { bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 };

/** A model to start anew as a config.json of Hugging Face. Heads are tied to the embeddings in every family. */
export function initialConfig(init: InitialModel, vocabularySize: number): Record<string, unknown> {
  const headDim = init.hiddenSize / init.heads;
  const common = {
    model_type: init.family,
    vocab_size: vocabularySize,
    hidden_size: init.hiddenSize,
    num_hidden_layers: init.layers,
    num_attention_heads: init.heads,
    max_position_embeddings: init.contextLength,
    ...SPECIAL_TOKENS,
  };
  const gated = {
    ...common,
    num_key_value_heads: init.kvHeads ?? init.heads,
    head_dim: headDim,
    intermediate_size: init.ffnSize,
    tie_word_embeddings: true,
  };
  const byFamily: Record<InitialModel['family'], Record<string, unknown>> = {
    opt: { ...common, ffn_dim: init.ffnSize },
    llama: gated,
    gemma2: { ...gated, query_pre_attn_scalar: headDim },
  };
  return byFamily[init.family];
}
