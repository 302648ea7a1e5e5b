export { kvBytesPerToken } from './accounting';
export type { KvLayout } from './accounting';
export type { KvCache } from './cache';
export { ExpertIndex } from './expert-index';
export type { CacheLayout } from './layout';
export { CachePool } from './pool';
