import type { AttentionVariant } from '../../attention/variant';
import type { OptConfig } from './config';
import type { TransformerParameter } from '../family';

/** Rows of the position table that OPT leaves unused: position t is row t + 2. */
export const POSITION_OFFSET = 2;

export const layerName = (layer: number): string => `model.decoder.layers.${layer}`;

/** The form that normalises after each block needs no norm in the end. */
export function hasLastNorm(config: OptConfig): boolean {
  return config.do_layer_norm_before && !config._remove_final_layer_norm;
}

/** Every parameter of the transformer in the order of the forward pass; routers keep their own. */
export function parameterSpecs(config: OptConfig, attention: AttentionVariant): TransformerParameter[] {
  const width = config.hidden_size;
  const headDim = width / config.num_attention_heads;
  const kvWidth = attention.storedKvHeads(config.num_attention_heads) * headDim;
  const specs: TransformerParameter[] = [];
  const matrix = (name: string, outputs: number, inputs: number) =>
    specs.push({ name: `${name}.weight`, shape: [outputs, inputs], start: 'normal' });
  const linear = (name: string, outputs: number, inputs: number) => {
    matrix(name, outputs, inputs);
    specs.push({ name: `${name}.bias`, shape: [outputs], start: 'zeros' });
  };
  const norm = (name: string) => {
    specs.push({ name: `${name}.weight`, shape: [width], start: 'ones' });
    specs.push({ name: `${name}.bias`, shape: [width], start: 'zeros' });
  };
  const embedding = config.word_embed_proj_dim;
  matrix('model.decoder.embed_tokens', config.vocab_size, embedding);
  matrix('model.decoder.embed_positions', config.max_position_embeddings + POSITION_OFFSET, width);
  if (embedding !== width) matrix('model.decoder.project_in', width, embedding);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = layerName(layer);
    norm(`${at}.self_attn_layer_norm`);
    linear(`${at}.self_attn.q_proj`, width, width);
    if (attention.kvSource(layer) === layer) {
      linear(`${at}.self_attn.k_proj`, kvWidth, width);
      linear(`${at}.self_attn.v_proj`, kvWidth, width);
    }
    linear(`${at}.self_attn.out_proj`, width, width);
    norm(`${at}.final_layer_norm`);
    linear(`${at}.fc1`, config.ffn_dim, width);
    linear(`${at}.fc2`, width, config.ffn_dim);
  }
  if (hasLastNorm(config)) norm('model.decoder.final_layer_norm');
  if (embedding !== width) matrix('model.decoder.project_out', embedding, width);
  return specs;
}
