export { kvBudget } from './budget';
export { createExpert, experts } from './catalog';
export type { ExpertKind } from './catalog';
export type { Expert, ExpertFactory, ExpertOptions, KeyValue } from './expert';
export { defaultGroupSizes, validateGroupSizes } from './group-sizes';
export { groupedExpert } from './grouped';
export { mixKv, mixKvByExperts } from './mix';
export type { MixOptions } from './mix';
export { capacities, normaliseRatios, validateRatios } from './ratios';
