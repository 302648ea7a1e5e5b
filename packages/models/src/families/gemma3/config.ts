import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { checkAttention, common, count, headCount, meaningful, only, positive, readKeys, tokenCount, width } from '../../config/keys';
import { type LayerType, layerTypes, layerTypesOf } from '../../config/layer-types';
import { parseRope, ropeKeys, ropeObject, unknownKeysOfRope, type RopeConfig } from '../../config/rope';
import { dtype } from '../gemma2/config';
import { checkHeadDim } from '../rotary-heads';

const keys = {
  ...common,
  model_type: z.literal('gemma3_text', { error: 'expected "gemma3_text"' }),
  intermediate_size: width,
  num_key_value_heads: headCount.nullish(),
  head_dim: width.default(256),
  hidden_activation: only('gelu_pytorch_tanh'),
  rms_norm_eps: positive.default(1e-6),
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: only(true),
  query_pre_attn_scalar: positive.default(256),
  // Null turns it off.
  final_logit_softcapping: positive.nullable().default(null),
  sliding_window: tokenCount.default(4096),
  layer_types: layerTypes,
  /** Without `layer_types`: one in this many layers attends to all tokens. */
  sliding_window_pattern: count.nullish(),
  /** What transformers keeps of it beside `layer_types`. */
  _sliding_window_pattern: z.unknown().optional(),
  torch_dtype: dtype.nullish(),
  dtype: dtype.nullish(),
  /** Of layers that attend to all tokens. */
  rope_theta: ropeKeys.rope_theta,
  rope_scaling: ropeKeys.rope_scaling,
  /** Base of layers that slide. */
  rope_local_base_freq: positive.nullish(),
  /** All of these in one, as transformers 5 writes them. */
  rope_parameters: z.strictObject({ full_attention: ropeObject.nullish(), sliding_attention: ropeObject.nullish() }).nullish(),
};

type Parsed = z.output<z.ZodObject<typeof keys>>;

/**
 * Configuration of the text model of a Gemma 3: the keys of Hugging Face's config.json that mean something here, under their own names and
 * with their defaults, and `mixsga`: the attention variant, with the kind and seed of its routers.
 */
export type Gemma3Config = Omit<
  Parsed,
  keyof typeof ropeKeys | 'rope_local_base_freq' | 'num_key_value_heads' | 'layer_types' | 'sliding_window_pattern' | '_sliding_window_pattern' | 'dtype'
> & RopeConfig & { rope_local_base_freq: number; num_key_value_heads: number; layer_types: LayerType[] };

/**
 * Checks a parsed config.json of a Gemma 3 that is for text alone.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseGemma3Config(json: unknown, where: string): Gemma3Config {
  const parsed = readKeys(keys, json, where, unknownRopes);
  const {
    rope_parameters: _, rope_scaling: __, sliding_window_pattern: pattern = 6, _sliding_window_pattern: ___, dtype, ...kept
  } = meaningful(parsed) as typeof parsed;
  const typeOf = (layer: number): LayerType => ((layer + 1) % pattern! === 0 ? 'full_attention' : 'sliding_attention');
  const config: Gemma3Config = {
    ...kept,
    ...parseRope({ ...parsed, rope_parameters: parsed.rope_parameters?.full_attention }, where, { theta: 1_000_000, field: 'rope_parameters.full_attention' }),
    rope_local_base_freq: localBase(parsed, where),
    // `meaningful` leaves out what is null.
    final_logit_softcapping: parsed.final_logit_softcapping,
    num_key_value_heads: kept.num_key_value_heads ?? kept.num_attention_heads,
    layer_types: layerTypesOf(kept.layer_types, kept.num_hidden_layers, typeOf, where),
    ...(dtype ? { torch_dtype: dtype } : {}),
  };
  checkAttention(config, where);
  checkHeadDim(config, where);
  return config;
}

function unknownRopes({ rope_scaling: scaling, rope_parameters: parameters }: Parsed, where: string): string[] {
  return [
    ...unknownKeysOfRope(scaling, 'rope_scaling', where),
    ...Object.entries(parameters ?? {}).flatMap(([type, own]) => unknownKeysOfRope(own, `rope_parameters.${type}`, where)),
  ];
}

/** The base of layers that slide, whose positions are never scaled. */
function localBase({ rope_local_base_freq: base, rope_parameters: parameters }: Parsed, where: string): number {
  const field = 'rope_parameters.sliding_attention';
  const own = parameters?.sliding_attention;
  if (base != null && own?.rope_theta != null && base !== own.rope_theta) {
    throw new FileError(where, `${field}.rope_theta: expected ${base}, as rope_local_base_freq says, got ${own.rope_theta}`);
  }
  const { rope_theta: theta, rope_scaling: scaling } = parseRope({ rope_parameters: own }, where, { theta: base ?? 10_000, field });
  if (scaling) throw new FileError(where, `${field}.rope_type: expected default, the only one implemented, got ${JSON.stringify(scaling.rope_type)}`);
  return theta;
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function gemma3ConfigToJson(config: Gemma3Config): Record<string, unknown> {
  return { architectures: ['Gemma3ForCausalLM'], ...config };
}
