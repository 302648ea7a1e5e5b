// Checkpoint conversion: the same model with another attention variant (paper section 4; method notes section 4).

import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import { alignHeads, alignHeadValues, type Grouping } from '../align/align-heads';
import { parseAttention } from '../attention/index';
import { DEFAULT_ROUTER } from '../attention/layer-router';
import type { AttentionVariant } from '../attention/variant';
import type { MixsgaKey } from '../config/keys';
import { modelShape } from '../config/shape';
import type { ModelConfig } from '../config/shape';
import { familyOf } from '../families/index';
import type { ParameterSource } from '../io/parameter-source';
import { constantValues, withConstants } from '../attention/layer-constants';

export interface ConvertOptions {
  /** Kind of router for a variant with experts; default 'sigmoid'. */
  readonly router?: string;
  /** Seed of the new routers; default 0. */
  readonly routerSeed?: number;
  /** Permute and turn heads before they are grouped so that those of a group are alike, see {@link alignHeads}; default false. */
  readonly align?: boolean;
}

export const CONVERT_OPTIONS: OptionNames<ConvertOptions> = { router: true, routerSeed: true, align: true };

/**
 * The configuration of a model under another attention variant.
 * @throws ArgumentError when the source is not as published (`mha`), or the variant does not fit its heads or layers
 */
export function convertConfig<Config extends ModelConfig>(
  config: Config, spec: string, options: ConvertOptions = {},
): Config {
  expectOptions('convert', options, CONVERT_OPTIONS);
  const { router = DEFAULT_ROUTER, routerSeed = 0, align = false } = options;
  const shape = modelShape(config);
  if (shape.attention !== 'mha') {
    throw new ArgumentError(`convert: expected a checkpoint with mha attention, got ${shape.attention}; convert the original model`);
  }
  const attention = parseAttention(spec);
  attention.validate(shape);
  if (align) groupingOf(attention, shape.kvHeads);
  const { mixsga: _previous, ...plain } = config;
  if (attention.spec === 'mha') return plain as Config;
  const mixsga: MixsgaKey = { attention: attention.spec, ...(attention.experts ? { router, routerSeed } : {}), ...(align ? { align } : {}) };
  return { ...plain, mixsga } as Config;
}

/**
 * The parameters of a model under another attention variant, converted as they are read: GQA takes the mean of each group of K
 * and V projections; CLA those of the first layer of each run; mixSGA leaves every weight untouched and gets new routers. Experts that have
 * constants of their layer get them from its weights. With `align`, heads are aligned before.
 *
 * @param config of the source, which is as published
 * @throws ArgumentError when heads are to be aligned and the variant groups none
 */
export function convertedSource(
  config: ModelConfig, source: ParameterSource, spec: string, options: Pick<ConvertOptions, 'align'> = {},
): ParameterSource {
  expectOptions('convertedSource', options, { align: true });
  const { align = false } = options;
  const { kvHeads } = modelShape(config);
  const attention = parseAttention(spec);
  const stored = attention.storedKvHeads(kvHeads);
  const heads = withConstants(config, align ? alignHeads(config, source, groupingOf(attention, kvHeads)) : source, attention);
  return {
    has: (name) => heads.has(name),
    async read(name) {
      const values = await heads.read(name);
      return isOfKvHeads(config, name) ? meanOfGroups(values, kvHeads, stored) : values;
    },
  };
}

/**
 * The weights and config of a checkpoint in memory under another attention variant, see {@link convertedSource}.
 * @returns config and values for a model of the new variant
 * @throws ArgumentError as {@link convertConfig}, and when a parameter is missing
 */
export function convertModel<Config extends ModelConfig>(
  config: Config, values: ReadonlyMap<string, Float32Array>, spec: string, options: ConvertOptions = {},
): { config: Config; values: Map<string, Float32Array> } {
  const converted = convertConfig(config, spec, options);
  const attention = parseAttention(spec);
  const { kvHeads } = modelShape(config);
  for (const { name, shape } of familyOf(config).parameters(config, parseAttention('mha'))) {
    if (!values.has(name)) throw new ArgumentError(`convert: expected a parameter ${name} of shape [${shape.join(', ')}]`);
  }
  const heads = options.align ? alignHeadValues(config, values, groupingOf(attention, kvHeads)) : values;
  const result = new Map<string, Float32Array>();
  for (const { name } of familyOf(converted).parameters(converted, attention)) {
    const array = heads.get(name)!;
    result.set(name, isOfKvHeads(config, name) ? meanOfGroups(array, kvHeads, attention.storedKvHeads(kvHeads)) : array.slice());
  }
  for (const [name, array] of constantValues(config, values, attention)) result.set(name, array);
  return { config: converted, values: result };
}

/** The groups that a variant makes of the KV heads of each layer. @throws ArgumentError when it makes none */
function groupingOf(attention: AttentionVariant, kvHeads: number): (layer: number) => Grouping {
  const { grouping } = attention.formats;
  if (!grouping) {
    throw new ArgumentError(
      `convert: align is for a variant that groups the KV heads of keys and values alike, such as gqa:2, got ${attention.spec}, for whose experts there is nothing to align; leave it out`,
    );
  }
  const ratiosOf = attention.experts?.ratiosOf ?? (() => [1]);
  const groupSizes = attention.experts ? grouping.groupSizes : [kvHeads / attention.storedKvHeads(kvHeads)];
  if (groupSizes.every((size) => size === 1)) {
    throw new ArgumentError(`convert: align is for a variant that groups KV heads, such as gqa:2, got ${attention.spec}; leave it out`);
  }
  return (layer) => ({ groupSizes, ratios: ratiosOf(layer) });
}

/** Whether a parameter has rows for each KV head: the projections, and a norm's gain where each head has its own. */
function isOfKvHeads(config: ModelConfig, name: string): boolean {
  if (/\.self_attn\.[kv]_proj\.(weight|bias)$/.test(name)) return true;
  return familyOf(config).heads.queryKeyNorm === 'all' && name.endsWith('.self_attn.k_norm.weight');
}

/** Rows lie head by head; each run of heads/stored heads becomes its mean. */
function meanOfGroups(array: Float32Array, heads: number, stored: number): Float32Array {
  const group = heads / stored;
  const block = array.length / heads;
  const mean = new Float32Array(stored * block);
  for (let head = 0; head < stored; head++) {
    for (let i = 0; i < block; i++) {
      let sum = 0;
      for (let j = 0; j < group; j++) sum += array[(head * group + j) * block + i]!;
      mean[head * block + i] = sum / group;
    }
  }
  return mean;
}
