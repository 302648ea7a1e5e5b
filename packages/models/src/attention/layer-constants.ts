// Tensors of a layer that its experts are made with: their names in a checkpoint, and their values on conversion.
import { parseAttention } from './index';
import { storingLayers, type AttentionVariant, type LayerWeights } from './variant';
import { type ModelConfig, modelShape } from '../config/shape';
import { familyOf, inputNorm } from '../families/index';
import type { ParameterSource, ParameterSpec } from '../io/parameter-source';

/** Names and shapes of all layers' constants; none where the variant's experts have none. */
export function constantSpecs(config: ModelConfig): ParameterSpec[] {
  const shape = modelShape(config);
  const variant = parseAttention(shape.attention);
  const shapes = [...(variant.formats.constants?.shapes(shape) ?? [])];
  return storingLayers(shape.layers, variant).flatMap((layer) => shapes.map(([name, own]) => ({ name: constantName(config, layer, name), shape: own })));
}

/**
 * Parameters with the constants that a variant's experts have, made from the weights when they are first read.
 * @param config of the parameters, which are as published
 */
export function withConstants(config: ModelConfig, source: ParameterSource, variant: AttentionVariant): ParameterSource {
  const shape = modelShape(config);
  const names = [...(variant.formats.constants?.shapes(shape).keys() ?? [])];
  const layers = new Map(storingLayers(shape.layers, variant).flatMap((layer) => names.map((name) => [constantName(config, layer, name), layer])));
  const fitted = async (layer: number) => {
    const values = new Map<string, Float32Array>();
    for (const name of weightNames(config, layer)) if (source.has(name)) values.set(name, await source.read(name));
    return layerConstants(config, values, variant, layer);
  };
  let latest: { layer: number; values: ReturnType<typeof fitted> } | undefined;
  return {
    has: (name) => layers.has(name) || source.has(name),
    async read(name) {
      const layer = layers.get(name);
      if (layer === undefined) return source.read(name);
      if (latest?.layer !== layer) latest = { layer, values: fitted(layer) };
      return (await latest.values).get(name)!;
    },
  };
}

/** The constants of all layers, from the parameters of a model in memory. */
export function constantValues(
  config: ModelConfig, values: ReadonlyMap<string, Float32Array>, variant: AttentionVariant,
): Map<string, Float32Array> {
  const layers = variant.formats.constants ? storingLayers(modelShape(config).layers, variant) : [];
  return new Map(layers.flatMap((layer) => [...layerConstants(config, values, variant, layer)]));
}

/** By their names in a checkpoint. */
function layerConstants(
  config: ModelConfig, values: ReadonlyMap<string, Float32Array>, variant: AttentionVariant, layer: number,
): Map<string, Float32Array> {
  const fitted = variant.formats.constants!.fit(layerWeights(config, values, layer), modelShape(config));
  return new Map([...fitted].map(([name, array]) => [constantName(config, layer, name), array]));
}

function layerWeights(config: ModelConfig, values: ReadonlyMap<string, Float32Array>, layer: number): LayerWeights {
  const at = attentionName(config, layer);
  const projection = (name: string) => ({ weight: values.get(`${at}.${name}.weight`)!, bias: values.get(`${at}.${name}.bias`) ?? null });
  const norm = inputNorm(config, layer);
  return {
    k: projection('k_proj'),
    v: projection('v_proj'),
    gain: norm && values.get(`${norm.name}.weight`)!.map((gain) => gain + norm.gainOffset),
    inputs: config.hidden_size,
  };
}

/** Names of what {@link layerWeights} takes, of which biases may be missing. */
function weightNames(config: ModelConfig, layer: number): string[] {
  const at = attentionName(config, layer);
  const norm = inputNorm(config, layer);
  return [...['k_proj', 'v_proj'].flatMap((name) => [`${at}.${name}.weight`, `${at}.${name}.bias`]), ...(norm ? [`${norm.name}.weight`] : [])];
}

function constantName(config: ModelConfig, layer: number, name: string): string {
  return `${attentionName(config, layer)}.${name}`;
}

function attentionName(config: ModelConfig, layer: number): string {
  return `${familyOf(config).layerName(layer)}.self_attn`;
}
