import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { parseOptConfig, type OptConfig } from './opt';
import type { ModelShape } from './shape';
import { suggestion, validateConfig } from './validate';

const count = z.int({ error: 'expected a whole number above 0' }).positive({ error: 'expected a whole number above 0' });

// Llama and Gemma 2 are described here, not run: keys that change no size are not looked at.
const sizes = {
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count,
};
const llamaSchema = z.object({
  ...sizes,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
});
const gemma2Schema = z.object({
  ...sizes,
  attention_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(true),
});

/** The families whose config.json is understood: `model_type` to its reader. A new one is one function and one line. */
const families: Readonly<Record<string, (json: unknown, where: string) => ModelShape>> = {
  opt: (json, where) => optShape(parseOptConfig(json, where)),
  llama: llamaShape,
  gemma2: gemma2Shape,
};

/**
 * The sizes that a parsed config.json gives.
 * @param where the file's path, for error messages
 * @throws FileError when the family is unknown or a field is wrong
 */
export function modelShape(json: unknown, where: string): ModelShape {
  const { model_type: family } = validateConfig(z.object({ model_type: z.string() }), json, where);
  const read = Object.hasOwn(families, family) ? families[family] : undefined;
  if (!read) throw new FileError(where, `unknown model_type ${JSON.stringify(family)}; ${suggestion(family, Object.keys(families))}`);
  return read(json, where);
}

/** OPT as in Hugging Face: biases everywhere but in the projections of another embedding width; tied output. */
function optShape(config: OptConfig): ModelShape {
  const { hidden_size: width, num_hidden_layers: layers, num_attention_heads: heads, ffn_dim: ffn } = config;
  const embedding = config.word_embed_proj_dim;
  const projections = embedding === width ? 0 : 2 * width * embedding;
  const finalNorm = config.do_layer_norm_before && !config._remove_final_layer_norm ? 2 * width : 0;
  const layer = 2 * (width * width + width) + (2 * width * ffn + ffn + width) + 2 * 2 * width;
  return {
    family: 'opt',
    attention: config.mixsga?.attention ?? 'mha',
    layers,
    hiddenSize: width,
    heads,
    kvHeads: heads,
    headDim: width / heads,
    vocabularySize: config.vocab_size,
    contextLength: config.max_position_embeddings,
    kvBias: true,
    // The position table has two rows that no position uses.
    otherParameters:
      config.vocab_size * embedding + (config.max_position_embeddings + 2) * width + projections + layers * layer + finalNorm,
  };
}

function llamaShape(json: unknown, where: string): ModelShape {
  const config = validateConfig(llamaSchema, json, where);
  const mlpBiases = config.mlp_bias ? 2 * config.intermediate_size + config.hidden_size : 0;
  return gatedShape('llama', config, 2, mlpBiases);
}

function gemma2Shape(json: unknown, where: string): ModelShape {
  return gatedShape('gemma2', validateConfig(gemma2Schema, json, where), 4, 0);
}

/** What Llama and Gemma 2 share: RMSNorm, rotary positions and a gated FFN of three matrices. */
function gatedShape(
  family: string,
  config: z.output<typeof gemma2Schema>,
  normsPerLayer: number,
  mlpBiases: number,
): ModelShape {
  const { hidden_size: width, num_hidden_layers: layers, num_attention_heads: heads } = config;
  const headDim = config.head_dim ?? width / heads;
  const attention = 2 * width * heads * headDim + (config.attention_bias ? heads * headDim + width : 0);
  const layer = attention + 3 * width * config.intermediate_size + mlpBiases + normsPerLayer * width;
  const embeddings = (config.tie_word_embeddings ? 1 : 2) * config.vocab_size * width;
  return {
    family,
    attention: 'mha',
    layers,
    hiddenSize: width,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headDim,
    vocabularySize: config.vocab_size,
    contextLength: config.max_position_embeddings,
    kvBias: config.attention_bias,
    otherParameters: embeddings + layers * layer + width,
  };
}
