// The families of models: what a config.json's `model_type` means.
import { FileError } from '@mixsga/backend';
import { z } from 'zod';
import { parseAttention } from './attention/index';
import { gemma2ConfigToJson, parseGemma2Config, type Gemma2Config } from './config/gemma2';
import { llamaConfigToJson, parseLlamaConfig, type LlamaConfig } from './config/llama';
import { optConfigToJson, parseOptConfig, type OptConfig } from './config/opt';
import { modelShape } from './config/shape';
import { suggestion, validateConfig } from './config/validate';
import { CachedDecoder, type DecoderOptions } from './decoder/cached-decoder';
import type { ModelFamily, ParameterSpec } from './decoder/family';
import { loadGemma2 } from './gemma2/decoder';
import { gemma2Parameters } from './gemma2/parameters';
import { trainableGemma2 } from './gemma2/trainable';
import type { ParameterSource } from './io/parameter-source';
import { constantSpecs } from './layer-constants';
import { routerSpecs } from './layer-router';
import { loadLlama } from './llama/decoder';
import { layerName as llamaLayerName, llamaParameters } from './llama/parameters';
import { trainableLlama } from './llama/trainable';
import { loadOpt } from './opt/decoder';
import { layerName as optLayerName, parameterSpecs as optParameters } from './opt/parameters';
import { trainableOpt } from './opt/trainable';

/** Configuration of a model of any family: `model_type` tells which. */
export type ModelConfig = OptConfig | LlamaConfig | Gemma2Config;

const opt: ModelFamily<OptConfig> = {
  parse: parseOptConfig, toJson: optConfigToJson,
  layerName: optLayerName, parameters: optParameters, load: loadOpt, trainable: trainableOpt,
};
const llama: ModelFamily<LlamaConfig> = {
  parse: parseLlamaConfig, toJson: llamaConfigToJson,
  layerName: llamaLayerName, parameters: llamaParameters, load: loadLlama, trainable: trainableLlama,
};
const gemma2: ModelFamily<Gemma2Config> = {
  parse: parseGemma2Config, toJson: gemma2ConfigToJson,
  layerName: llamaLayerName, parameters: gemma2Parameters, load: loadGemma2, trainable: trainableGemma2,
};

/** The families, by `model_type`. */
export const families = { opt, llama, gemma2 } as const;

/** The family of a configuration. */
export function familyOf(config: ModelConfig): ModelFamily<ModelConfig> {
  return families[config.model_type] as unknown as ModelFamily<ModelConfig>;
}

/**
 * Checks a parsed config.json of any family.
 * @param where the file's path, for error messages
 * @throws FileError when the family is unknown or a field is wrong
 */
export function parseModelConfig(json: unknown, where: string): ModelConfig {
  const { model_type: name } = validateConfig(z.object({ model_type: z.string() }), json, where);
  if (Object.hasOwn(families, name)) return families[name as keyof typeof families].parse(json, where);
  const supported = Object.keys(families);
  const hint = suggestion(name, supported);
  const all = hint.startsWith('did') ? ` (supported: ${supported.join(', ')})` : '';
  throw new FileError(where, `unknown model_type ${JSON.stringify(name)}; ${hint}${all}`);
}

/** Every parameter that a checkpoint of a configuration holds: constants of layers too, and those of routers, where they learn. */
export function storedParameters(config: ModelConfig): ParameterSpec[] {
  const { attention, layers } = modelShape(config);
  const variant = parseAttention(attention);
  const family = familyOf(config);
  const routers = Array.from({ length: layers }, (_, layer) => routerSpecs(config, variant, `${family.layerName(layer)}.self_attn.router`));
  return [...family.parameters(config, variant), ...constantSpecs(config), ...routers.flat()];
}

/**
 * A model on the active backend. Its weights are read and packed one parameter after the other, so that no more than one is
 * in memory twice.
 *
 * @param source every parameter by its Hugging Face name, of which those of routers may be missing
 * @throws FileError or ArgumentError when a parameter is missing or of another size; ArgumentError when the attention variant
 *   does not fit; BackendError when there is no memory for the weights
 */
export function createDecoder(
  config: ModelConfig, source: ParameterSource | ReadonlyMap<string, Float32Array>, options?: DecoderOptions,
): Promise<CachedDecoder> {
  return CachedDecoder.create(familyOf(config), config, source, options);
}
