// What those who make models and those who measure them agree on, of texts that go token by token through caches.
import type { WorkOptions } from '@mixsga/backend';
import type { CacheSpec } from './policies/cache-spec';

/** What windows cost that went token by token through caches. */
export interface StreamedNll {
  /** −log p(target) in nats: row-major [windows, T]. */
  readonly nll: Float32Array;
  /** Bytes that the cache of each window used after its last token. */
  readonly kvBytesUsed: readonly number[];
}

export interface StreamOptions extends WorkOptions {
  /** Windows, each with a cache of its own. */
  readonly windows: number;
  /** What keeps the cache of a window small, or its text; shares are of the window's length. Default: no limit. */
  readonly cache?: string | CacheSpec;
}
