import { parseAttention } from '../attention/index';
import { type ModelConfig, modelShape } from '../config/shape';
import { familyOf } from '../families/index';
import type { ParameterSpec } from '../io/parameter-source';
import { constantSpecs } from '../attention/layer-constants';
import { routerSpecs } from '../attention/layer-router';

/** Every parameter that a checkpoint of a configuration holds: constants of layers too, and those of routers, where they learn. */
export function storedParameters(config: ModelConfig): ParameterSpec[] {
  const { attention, layers } = modelShape(config);
  const variant = parseAttention(attention);
  const family = familyOf(config);
  const routers = Array.from({ length: layers }, (_, layer) => routerSpecs(config, variant, `${family.layerName(layer)}.self_attn.router`));
  return [...family.parameters(config, variant), ...constantSpecs(config), ...routers.flat()];
}
