import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { checkAttention, common, count, headCount, meaningful, only, positive, readKeys, tokenCount, width } from '../../config/keys';
import { type LayerType, layerTypes, layerTypesOf } from '../../config/layer-types';
import { parseRope, ropeKeys, unknownRopeKeys, type RopeConfig } from '../../config/rope';
import { checkHeadDim } from '../rotary-heads';

const keys = {
  ...common,
  model_type: z.literal('qwen3', { error: 'expected "qwen3"' }),
  intermediate_size: width,
  num_key_value_heads: headCount.nullish(),
  head_dim: width.default(128),
  hidden_act: only('silu'),
  rms_norm_eps: positive.default(1e-6),
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  use_sliding_window: z.boolean().default(false),
  sliding_window: tokenCount.nullable().default(4096),
  /** Layers before the first that slides. */
  max_window_layers: count.or(z.literal(0)).default(28),
  layer_types: layerTypes,
  ...ropeKeys,
};

/**
 * Configuration of a Qwen 3: the keys of Hugging Face's config.json that mean something here, under their own names and with
 * their defaults, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type Qwen3Config = Omit<z.output<z.ZodObject<typeof keys>>, keyof typeof ropeKeys | 'num_key_value_heads' | 'layer_types' | 'max_window_layers'> &
  RopeConfig & { num_key_value_heads: number; layer_types: LayerType[] };

/**
 * Checks a parsed config.json of a Qwen 3.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseQwen3Config(json: unknown, where: string): Qwen3Config {
  const parsed = readKeys(keys, json, where, unknownRopeKeys);
  const { rope_parameters: _, rope_scaling: __, max_window_layers: firstSliding, ...kept } = meaningful(parsed) as typeof parsed;
  const window = parsed.use_sliding_window ? parsed.sliding_window : null;
  const typeOf = (layer: number): LayerType => (window !== null && layer >= firstSliding ? 'sliding_attention' : 'full_attention');
  const config: Qwen3Config = {
    ...kept,
    ...parseRope(parsed, where),
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
    sliding_window: window,
    layer_types: layerTypesOf(kept.layer_types, kept.num_hidden_layers, typeOf, where),
  };
  checkAttention(config, where);
  checkHeadDim(config, where);
  const sliding = config.layer_types.indexOf('sliding_attention');
  if (window === null && sliding >= 0) {
    throw new FileError(where, `layer_types: expected full_attention alone, as use_sliding_window or sliding_window says, got sliding_attention at ${sliding}`);
  }
  return config;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function qwen3ConfigToJson(config: Qwen3Config): Record<string, unknown> {
  return { architectures: ['Qwen3ForCausalLM'], ...config };
}
