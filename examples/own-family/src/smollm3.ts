// SmolLM3 (Hugging Face 2025): a Llama in which every fourth layer does not rotate queries and keys (NoPE, arXiv 2501.18795).
import { families, type ModelFamily } from '@mixsga/models';
import { asLlama, parseSmolLm3Config, type SmolLm3Config, smolLm3ConfigToJson } from './config';

const { llama } = families;

/** For `registerFamily`. */
export const smolLm3: ModelFamily<SmolLm3Config> = {
  parse: parseSmolLm3Config,
  toJson: smolLm3ConfigToJson,
  sized: llama.sized,
  layerName: llama.layerName,
  parameters: (config, attention) => llama.parameters(asLlama(config), attention),
  async load(config, loader) {
    const transformer = await llama.load(asLlama(config), loader);
    return { ...transformer, frequencies: rotating(config, transformer.frequencies!) };
  },
  trainable(config, variables) {
    const transformer = llama.trainable(asLlama(config), variables);
    return { ...transformer, frequencies: rotating(config, transformer.frequencies!) };
  },
  heads: { ...llama.heads, norm: (config, layer) => llama.heads.norm(asLlama(config), layer) },
};

/** The frequencies of layers that rotate, and none for the others: an angle of 0 at every position leaves a head as it is. */
function rotating({ no_rope_layers: flags }: SmolLm3Config, frequencies: (layer: number) => Float32Array): (layer: number) => Float32Array {
  const still = new Float32Array(frequencies(0).length);
  return (layer) => (flags[layer] === 1 ? frequencies(layer) : still);
}
