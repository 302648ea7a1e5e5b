import { ArgumentError, type KvType, type Pooling } from '@mixsga/backend';

/** The shape of a cache, and whose it is. */
export interface CacheLayout {
  /** Layers that store keys and values of their own. */
  readonly layers: number;
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Query heads, where they are more than `kvHeads`: memory can be laid out to suit them. */
  readonly queryHeads?: number;
  /** Group size of each expert; each divides `kvHeads`. One expert of size g is GQA, of size 1 the unmodified model. */
  readonly groupSizes: readonly number[];
  /** What a group of heads becomes where a KV budget coarsens tokens. Default: their mean. */
  readonly pooling?: Pooling;
  /** Element type of keys and values. Default f32. */
  readonly type?: KvType;
  /** Names the model and its weights: a cache can be restored only where this is the same. */
  readonly fingerprint: string;
}

/** @throws ArgumentError when a count is not a whole number from 1, or a group size does not divide the KV heads */
export function checkLayout({ layers, kvHeads, headDim, groupSizes }: CacheLayout): void {
  for (const [name, count] of Object.entries({ layers, kvHeads, headDim })) {
    if (!Number.isInteger(count) || count < 1) {
      throw new ArgumentError(`CachePool: expected ${name} to be a whole number from 1, got ${count}`);
    }
  }
  if (
    groupSizes.length === 0 ||
    groupSizes.length > 256 ||
    groupSizes.some((size) => !Number.isInteger(size) || size < 1 || kvHeads % size !== 0)
  ) {
    throw new ArgumentError(
      `CachePool: expected 1 to 256 group sizes that divide ${kvHeads} KV heads, got ${groupSizes.join(', ') || 'none'}`,
    );
  }
}
