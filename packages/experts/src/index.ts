export { allocateRatios, ratioLadder } from './allocate';
export type { Allocation, Rung } from './allocate';
export { kvShare } from './budget';
export { createFormat, formats } from './catalog';
export type { FormatKind, FormatOptions } from './catalog';
export type { FormatFactory } from './format';
export { distortions } from './distortion';
export { defaultGroupSizes, validateGroupSizes } from './group-sizes';
export { groupedFormat } from './grouped/grouped';
export type { GroupedOptions } from './grouped/grouped';
export { kvGroupedFormat } from './kv-grouped/kv-grouped';
export type { KvGroupedOptions } from './kv-grouped/kv-grouped';
export { checkLatentBasis, fitLatentBasis } from './latent/fit';
export type { LatentBasisValues, LatentInputs, Projection } from './latent/fit';
export { latentFormat } from './latent/latent';
export type { LatentOptions } from './latent/latent';
export { mixKv } from './mix';
export type { SoftMixture } from './mix';
export { capacities, normaliseRatios, validateRatios } from './ratios';
// What a format is belongs to whoever runs it.
export type {
  CoarserForms, Coarsening, FormatLayout, KeyValue, KvFormat, LatentBasis, Packing, Pooling, StoredFormat, StoredShape, StoredToken,
} from '@mixsga/backend';
