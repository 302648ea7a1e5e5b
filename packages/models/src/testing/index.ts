export { familyChecks } from './family-checks';
export type { FamilyCheck } from './family-checks';
export { attentionKindChecks } from './attention-kind-checks';
export type { AttentionKindCheck } from './attention-kind-checks';
