import { ArgumentError } from '@mixsga/backend';
import { kvBytesPerToken } from '@mixsga/kv-cache';
import { parseAttention } from './attention/index';
import { storingLayers, type AttentionVariant } from './attention/variant';
import { knownModels } from './config/known-models';
import { modelShape, type ModelShape } from './config/shape';
import { readJsonFile, suggestion } from './config/validate';
import { familyOf, parseModelConfig, type ModelConfig } from './families';
import { resolveModel, zooModels } from './zoo';

/** What a model is and what its KV cache takes, under an attention variant. */
export interface ModelReport extends ModelShape {
  readonly name: string;
  /** The attention variant, in canonical form. */
  readonly attention: string;
  readonly parameters: number;
  /** Stored K/V numbers as a share of the unmodified model's. */
  readonly kvBudget: number;
  /** Bytes a token over all layers, f32, of the unmodified model (paper, Table 9). */
  readonly kvBytesPerTokenFull: number;
  /** The same under the variant, expert index included. */
  readonly kvBytesPerToken: number;
}

/**
 * Describes a model without reading its weights.
 * @param model a folder, the name of a shipped model, an id of {@link knownModels}, of which nothing is downloaded, or another of
 * the hub
 * @param attention an attention variant, see {@link parseAttention}; default the model's own
 * @throws ArgumentError when the model is unknown or the variant does not fit it; FileError when its config is wrong
 */
export async function inspectModel(model: string, attention?: string): Promise<ModelReport> {
  const { json, where } = await findConfig(model);
  const config = parseModelConfig(json, where);
  const shape = modelShape(config);
  const variant = parseAttention(attention ?? shape.attention);
  variant.validate(shape);

  const { kvHeads, headDim, layers } = shape;
  const { ratios, groupSizes } = variant.experts ?? { ratios: [1], groupSizes: [1] };
  return {
    name: model,
    ...shape,
    attention: variant.spec,
    parameters: countParameters(config, variant),
    kvBudget: variant.kvBudget,
    kvBytesPerTokenFull: kvBytesPerToken({ layers, kvHeads, headDim, groupSizes: [1], ratios: [1] }),
    kvBytesPerToken: kvBytesPerToken({
      layers: storingLayers(layers, variant).length,
      kvHeads: variant.storedKvHeads(kvHeads),
      ...{ headDim, groupSizes, ratios },
    }),
  };
}

/** Those of the family, with a sigmoid router in each layer of a variant with experts. */
function countParameters(config: ModelConfig, variant: AttentionVariant): number {
  const { layers, hiddenSize } = modelShape(config);
  const routers = variant.experts ? layers * variant.experts.ratios.length * (hiddenSize + 1) : 0;
  return familyOf(config)
    .parameters(config, variant)
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), routers);
}

async function findConfig(model: string): Promise<{ json: unknown; where: string }> {
  if (Object.hasOwn(knownModels, model)) return { json: knownModels[model], where: model };
  const directory = await resolveModel(model, { weights: false }).then(
    (resolved) => resolved.directory,
    async (error: unknown) => {
      if (!ArgumentError.isInstance(error)) throw error;
      const names = [...(await zooModels()), ...Object.keys(knownModels)];
      throw new ArgumentError(`model ${JSON.stringify(model)}: no such folder; ${suggestion(model, names)}`);
    },
  );
  const where = `${directory}/config.json`;
  return { json: await readJsonFile(where), where };
}
