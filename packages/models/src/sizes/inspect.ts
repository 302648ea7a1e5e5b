import { ArgumentError } from '@mixsga/backend';
import { parseAttention } from '../attention/index';
import { knownModels } from '../config/known-models';
import { modelShape, type ModelShape } from '../config/shape';
import { readJsonFile, suggestion } from '../config/validate';
import { keptShare, kvBytes, kvBytesByVariant, modelCost, type ModelCost } from './cost';
import { parseModelConfig } from '../families/index';
import { machineLimits, whatFits, type Fit } from './machine';
import { resolveModel, zooModels } from '../zoo';

/** What a model is and what it takes, under an attention variant. */
export interface ModelReport extends ModelShape, Omit<ModelCost, 'largestBytes'> {
  readonly name: string;
  /** The attention variant, in canonical form. */
  readonly attention: string;
  /** Stored K/V numbers as a share of the unmodified model's; bytes, where a format packs bits of its own. */
  readonly kvBudget: number;
  /** Bytes a token over all layers, f32, of the unmodified model (paper, Table 9). */
  readonly kvBytesPerTokenFull: number;
  /** The same under the variant, expert index included. */
  readonly kvBytesPerToken: number;
  /** The same with keys and values in int8, scales included. */
  readonly kvBytesPerTokenInt8: number;
  /** The same for an example of each kind of variant that fits the model. */
  readonly kvBytesPerTokenBy: Readonly<Record<string, number>>;
  /** How this machine can run it. */
  readonly fits: readonly Fit[];
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
  return inspectConfig(model, json, where, attention);
}

/**
 * {@link inspectModel} of a config.json that is at hand, in browsers too.
 * @param where its path, for error messages
 * @throws ArgumentError when the variant does not fit the model; FileError when the config is wrong
 */
export async function inspectConfig(name: string, json: unknown, where: string, attention?: string): Promise<ModelReport> {
  const config = parseModelConfig(json, where);
  const shape = modelShape(config);
  const variant = parseAttention(attention ?? shape.attention);
  variant.validate(shape);

  const mha = parseAttention('mha');
  const { largestBytes: _, ...cost } = modelCost(config, variant);
  return {
    name,
    ...shape,
    attention: variant.spec,
    ...cost,
    kvBudget: keptShare(shape, variant),
    kvBytesPerTokenFull: kvBytes(shape, mha),
    kvBytesPerToken: kvBytes(shape, variant),
    kvBytesPerTokenInt8: kvBytes(shape, variant, 'int8'),
    kvBytesPerTokenBy: kvBytesByVariant(shape),
    fits: whatFits(config, variant, await machineLimits()),
  };
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
