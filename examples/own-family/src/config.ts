import { FileError } from '@mixsga/backend';
import { families, type LlamaConfig } from '@mixsga/models';

/** Configuration of a SmolLM3: that of a Llama, and which layers rotate. */
export type SmolLm3Config = Omit<LlamaConfig, 'model_type'> & {
  model_type: 'smollm3';
  /** By layer: 1 where queries and keys rotate, 0 where they do not. Its name means the zeros. */
  no_rope_layers: number[];
};

/** What the pieces of Llama's family take. */
export function asLlama({ no_rope_layers: _, ...config }: SmolLm3Config): LlamaConfig {
  return { ...config, model_type: 'llama' };
}

/**
 * Checks a parsed config.json of a SmolLM3.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got
 */
export function parseSmolLm3Config(json: unknown, where: string): SmolLm3Config {
  const { architectures, no_rope_layers: given, no_rope_layer_interval: interval = 4, ...rest } = json as Record<string, unknown>;
  if (architectures != null && !String(architectures).includes('SmolLM3')) {
    throw new FileError(where, `architectures: expected SmolLM3ForCausalLM, as model_type says, got ${JSON.stringify(architectures)}`);
  }
  const llama = families.llama.parse({ tie_word_embeddings: true, rope_theta: rest.rope_parameters ? undefined : 2_000_000, ...rest, model_type: 'llama' }, where);
  const layers = llama.num_hidden_layers;
  if (!Number.isInteger(interval) || (interval as number) < 1) {
    throw new FileError(where, `no_rope_layer_interval: expected a whole number above 0, got ${JSON.stringify(interval)}`);
  }
  const rotating = given ?? Array.from({ length: layers }, (_, layer) => ((layer + 1) % (interval as number) === 0 ? 0 : 1));
  if (!Array.isArray(rotating) || rotating.length !== layers || !rotating.every((flag) => flag === 0 || flag === 1)) {
    throw new FileError(where, `no_rope_layers: expected 0 or 1 for each of num_hidden_layers ${layers}, got ${JSON.stringify(given).slice(0, 80)}`);
  }
  return { ...llama, model_type: 'smollm3', no_rope_layers: rotating as number[] };
}

/** The object to write as config.json: loads in Hugging Face transformers too, when the attention is `mha`. */
export function smolLm3ConfigToJson(config: SmolLm3Config): Record<string, unknown> {
  return { ...config, architectures: ['SmolLM3ForCausalLM'] };
}
