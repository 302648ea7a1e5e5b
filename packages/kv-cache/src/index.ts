export { kvBytesPerToken } from './accounting';
export type { KvLayout } from './accounting';
export type { KvCache } from './cache';
export { evictionKinds, parseEviction } from './eviction/index';
export type { EvictionFactory, EvictionKind, EvictionOptions, EvictionPolicy, KeptTokens } from './eviction/policy';
export { ExpertIndex } from './expert-index';
export type { CacheLayout } from './layout';
export { CachePool } from './pool';
export type { CreateOptions } from './pool';
