import type { AttentionVariant } from '../../attention/variant';
import type { LlamaConfig } from './config';
import type { ModelSizes, Start, TransformerParameter } from '../family';

export const layerName = (layer: number): string => `model.layers.${layer}`;

/** Every parameter of a Llama in the order of the forward pass; routers keep their own. */
export function llamaParameters(config: LlamaConfig, attention: AttentionVariant): TransformerParameter[] {
  const specs = gatedLayers(config, attention, {
    norms: ['input_layernorm', 'post_attention_layernorm'],
    gains: 'ones',
    mlpBias: config.mlp_bias,
  });
  if (!config.tie_word_embeddings) {
    specs.push({ name: 'lm_head.weight', shape: [config.vocab_size, config.hidden_size], start: 'normal' });
  }
  return specs;
}

/** A config.json with the sizes of {@link gatedLayers}. */
export function gatedSizes({ vocabularySize, layers, hiddenSize, heads, kvHeads, ffnSize, contextLength }: ModelSizes): Record<string, unknown> {
  return {
    vocab_size: vocabularySize, hidden_size: hiddenSize, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads,
    head_dim: hiddenSize / heads, intermediate_size: ffnSize, max_position_embeddings: contextLength, tie_word_embeddings: true,
  };
}

/** What Llama and Gemma 2 share: RMSNorm, rotary attention without positions to learn, and a gated feed-forward. */
export function gatedLayers(
  config: GatedSizes, attention: AttentionVariant, { norms, gains, mlpBias }: GatedForm,
): TransformerParameter[] {
  const { hidden_size: width, intermediate_size: inner, head_dim: headDim, attention_bias: attentionBias } = config;
  const queries = config.num_attention_heads * headDim;
  const keys = attention.storedKvHeads(config.num_key_value_heads) * headDim;
  const specs: TransformerParameter[] = [
    { name: 'model.embed_tokens.weight', shape: [config.vocab_size, width], start: 'normal' },
  ];
  const linear = (name: string, outputs: number, inputs: number, bias: boolean) => {
    specs.push({ name: `${name}.weight`, shape: [outputs, inputs], start: 'normal' });
    if (bias) specs.push({ name: `${name}.bias`, shape: [outputs], start: 'zeros' });
  };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = layerName(layer);
    for (const norm of norms) specs.push({ name: `${at}.${norm}.weight`, shape: [width], start: gains });
    linear(`${at}.self_attn.q_proj`, queries, width, attentionBias);
    if (attention.kvSource(layer) === layer) {
      linear(`${at}.self_attn.k_proj`, keys, width, attentionBias);
      linear(`${at}.self_attn.v_proj`, keys, width, attentionBias);
    }
    linear(`${at}.self_attn.o_proj`, width, queries, attentionBias);
    linear(`${at}.mlp.gate_proj`, inner, width, mlpBias);
    linear(`${at}.mlp.up_proj`, inner, width, mlpBias);
    linear(`${at}.mlp.down_proj`, width, inner, mlpBias);
  }
  specs.push({ name: 'model.norm.weight', shape: [width], start: gains });
  return specs;
}

interface GatedForm {
  /** Names of a layer's norms, and what their gains start with. */
  readonly norms: readonly string[];
  readonly gains: Start;
  readonly mlpBias: boolean;
}

type GatedSizes = Pick<
  LlamaConfig,
  | 'vocab_size' | 'hidden_size' | 'intermediate_size' | 'num_hidden_layers' | 'num_attention_heads' | 'num_key_value_heads'
  | 'head_dim' | 'attention_bias'
>;
