import type { LatentWeights } from '../inference/runtime';
import { groupingOf } from './format';
import { GroupedAttention } from './grouped/layer';
import { LatentAttention } from './latent/layer';
import type { LayerAttention, LayerSetting } from './layer-attention';
import { MeaningAttention } from './meaning/layer';

export { groupingOf } from './format';
export type { KeyValue, KvFormat, LatentBasis } from './format';
export { storedGroups } from './grouped/stored';
export type { StoredGroupsOptions } from './grouped/stored';
export { storedLatent } from './latent/stored';
export type { StoredLatentOptions } from './latent/stored';
export { storedBits } from './stored-format';
export type { CoarserForms, Coarsening, FormatLayout, GroupedKernel, SizedForms, StoredFormat, StoredShape, StoredToken } from './stored-format';
export { hostRows } from './meaning/host-rows';
export { layerInBasis } from './latent/in-basis';
export type { KvRows, LayerAttention, LayerSetting, Projected, StepQueries, StepRows, ThroughOptions } from './layer-attention';
export { distortionsOf, lostByFormats } from './lost';

/**
 * What a layer's steps and prompts go through: kernels of the runtime where it has them for all formats, else their meaning.
 * @param latents the layer as {@link layerInBasis} gives it, packed; where its formats are latents and the runtime has kernels for them
 */
export function createLayerAttention(setting: LayerSetting, latents: LatentWeights | null = null): LayerAttention {
  const grouping = groupingOf(setting.formats);
  if (grouping) return new GroupedAttention(setting, grouping);
  const kernels = setting.runtime.latents;
  return latents && kernels ? new LatentAttention(setting, kernels, latents) : new MeaningAttention(setting);
}
