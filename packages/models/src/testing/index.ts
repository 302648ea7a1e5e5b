export { familyChecks } from './family-checks';
export type { FamilyCheck } from './family-checks';
