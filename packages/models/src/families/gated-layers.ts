// What Llama and the families after it share: RMSNorm, rotary attention without positions to learn, and a gated feed-forward.
import type { AttentionVariant } from '../attention/variant';
import type { ModelSizes, QueryKeyNorm, Start, TransformerParameter } from './family';

export const layerName = (layer: number): string => `model.layers.${layer}`;

/** A config.json with the sizes of {@link gatedLayers}. */
export function gatedSizes({ vocabularySize, layers, hiddenSize, heads, kvHeads, ffnSize, contextLength }: ModelSizes): Record<string, unknown> {
  return {
    vocab_size: vocabularySize, hidden_size: hiddenSize, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads,
    head_dim: hiddenSize / heads, intermediate_size: ffnSize, max_position_embeddings: contextLength, tie_word_embeddings: true,
  };
}

/** Embeddings, layers and the last norm, in the order of the forward pass. */
export function gatedLayers(
  config: GatedSizes, attention: AttentionVariant, { norms, gains, mlpBias = false, queryKeyNorm }: GatedForm,
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
  const norm = (name: string, size: number) => specs.push({ name: `${name}.weight`, shape: [size], start: gains });
  const headNorm = (name: string, size: number) => {
    if (queryKeyNorm) norm(name, queryKeyNorm === 'head' ? headDim : size);
  };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = layerName(layer);
    for (const name of norms) norm(`${at}.${name}`, width);
    linear(`${at}.self_attn.q_proj`, queries, width, attentionBias);
    headNorm(`${at}.self_attn.q_norm`, queries);
    if (attention.kvSource(layer) === layer) {
      linear(`${at}.self_attn.k_proj`, keys, width, attentionBias);
      headNorm(`${at}.self_attn.k_norm`, keys);
      linear(`${at}.self_attn.v_proj`, keys, width, attentionBias);
    }
    linear(`${at}.self_attn.o_proj`, width, queries, attentionBias);
    linear(`${at}.mlp.gate_proj`, inner, width, mlpBias);
    linear(`${at}.mlp.up_proj`, inner, width, mlpBias);
    linear(`${at}.mlp.down_proj`, width, inner, mlpBias);
  }
  norm('model.norm', width);
  return specs;
}

/** The head, where it is not tied to the embeddings. */
export function headOf(config: { tie_word_embeddings: boolean; vocab_size: number; hidden_size: number }): TransformerParameter[] {
  if (config.tie_word_embeddings) return [];
  return [{ name: 'lm_head.weight', shape: [config.vocab_size, config.hidden_size], start: 'normal' }];
}

interface GatedForm {
  /** Names of a layer's norms, and what their gains start with. */
  readonly norms: readonly string[];
  readonly gains: Start;
  /** Default false. */
  readonly mlpBias?: boolean;
  readonly queryKeyNorm?: QueryKeyNorm;
}

interface GatedSizes {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly attention_bias: boolean;
}
