import { createRouter, type Router, routerParameters } from '@mixsga/router';
import type { AttentionVariant } from './variant';
import { modelShape, type ModelConfig } from '../config/shape';
import { parseAttention } from './index';
import type { ParameterSpec } from '../io/parameter-source';

/** The paper's router, where a configuration names none. */
export const DEFAULT_ROUTER = 'sigmoid';

/** The kind of a model's routers; undefined where its tokens are not routed. */
export function routerOf(config: ModelConfig): string | undefined {
  return parseAttention(modelShape(config).attention).experts ? (config.mixsga?.router ?? DEFAULT_ROUTER) : undefined;
}

/** What a checkpoint has of the router of a layer, whose names begin with `prefix`; nothing where the variant has no experts. */
export function routerSpecs(config: ModelConfig, { experts }: AttentionVariant, prefix: string): ParameterSpec[] {
  if (!experts) return [];
  const shapes = routerParameters(config.mixsga?.router ?? DEFAULT_ROUTER, { hiddenSize: config.hidden_size, experts: experts.ratios.length });
  return Object.entries(shapes).map(([name, shape]) => ({ name: `${prefix}.${name}`, shape }));
}

/**
 * The router of a layer, as it is stored, or where nothing is, as it starts from `config.mixsga.routerSeed`; null where the variant has no
 * experts.
 *
 * @param prefix of the names of its parameters
 * @throws ArgumentError when stored values do not fit, and what `read` throws
 */
export async function loadRouter(
  config: ModelConfig, attention: AttentionVariant, layer: number, prefix: string,
  { has, read }: { has(name: string): boolean; read(name: string): Promise<Float32Array> },
): Promise<Router | null> {
  if (!attention.experts) return null;
  const specs = routerSpecs(config, attention, prefix);
  const weights: Record<string, Float32Array> = {};
  if (specs.length > 0 && has(specs[0]!.name)) {
    for (const { name } of specs) weights[name.slice(prefix.length + 1)] = await read(name);
  }
  return createRouter(config.mixsga?.router ?? DEFAULT_ROUTER, {
    hiddenSize: config.hidden_size,
    ratios: attention.experts.ratiosOf(layer),
    seed: config.mixsga?.routerSeed ?? 0,
    layer,
    ...(Object.keys(weights).length > 0 ? { weights } : {}),
  });
}
