// Checkpoint conversion: the same model with another attention variant (paper section 4; method notes section 4).

import { ArgumentError } from '@mixsga/backend';
import type { AttentionVariant } from '../attention/variant';
import { parseAttention } from '../attention/index';
import type { OptConfig } from '../config/opt';
import { layerName, parameterSpecs } from './parameters';

export interface ConvertOptions {
  /** Kind of router for a variant with experts; default 'sigmoid'. */
  readonly router?: 'sigmoid' | 'random';
  /** Seed of the new routers; default 0. */
  readonly routerSeed?: number;
}

/**
 * The weights and config of an MHA checkpoint under another attention variant: GQA takes the mean of each group of K
 * and V projections; CLA those of the first layer of each pair; mixSGA leaves every weight untouched and gets new routers.
 *
 * @returns config and values for a model of the new variant
 * @throws ArgumentError when the source is not MHA, or the variant does not fit its heads or layers
 */
export function convertOpt(
  config: OptConfig,
  values: ReadonlyMap<string, Float32Array>,
  spec: string,
  { router = 'sigmoid', routerSeed = 0 }: ConvertOptions = {},
): { config: OptConfig; values: Map<string, Float32Array> } {
  const source = config.mixsga?.attention ?? 'mha';
  if (source !== 'mha') {
    throw new ArgumentError(`convert: expected a checkpoint with mha attention, got ${source}; convert the original model`);
  }
  const attention = parseAttention(spec);
  attention.validate({ kvHeads: config.num_attention_heads, layers: config.num_hidden_layers });
  const converted = new Map<string, Float32Array>();
  for (const { name, shape } of parameterSpecs(config, attention)) {
    const projection = /^model\.decoder\.layers\.(\d+)\.self_attn\.([kv]_proj\.(?:weight|bias))$/.exec(name);
    const array = projection
      ? kvProjection(config, values, attention, Number(projection[1]), projection[2]!)
      : values.get(name);
    if (!array) throw new ArgumentError(`convert: expected a parameter ${name} of shape [${shape.join(', ')}]`);
    converted.set(name, array.slice());
  }
  const { mixsga: _previous, ...plain } = config;
  if (attention.spec === 'mha') return { config: plain, values: converted };
  const mixsga = attention.experts ? { attention: attention.spec, router, routerSeed } : { attention: attention.spec };
  return { config: { ...plain, mixsga }, values: converted };
}

function kvProjection(
  config: OptConfig,
  values: ReadonlyMap<string, Float32Array>,
  attention: AttentionVariant,
  layer: number,
  name: string,
): Float32Array | undefined {
  const array = values.get(`${layerName(layer)}.self_attn.${name}`);
  const heads = config.num_attention_heads;
  return array && meanOfGroups(array, heads, attention.storedKvHeads(heads));
}

/** Rows lie head by head; each run of heads/stored heads becomes its mean. */
function meanOfGroups(array: Float32Array, heads: number, stored: number): Float32Array {
  if (stored === heads) return array;
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
