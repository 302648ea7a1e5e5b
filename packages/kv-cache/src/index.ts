export { kvBytesPerToken } from './accounting';
export type { KvLayout } from './accounting';
export { ExpertIndex } from './expert-index';
