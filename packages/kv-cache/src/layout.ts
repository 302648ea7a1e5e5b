import { ArgumentError, type KvType, type OptionNames, type Pooling, type StoredShape } from '@mixsga/backend';

/** Vectors that are stored of a token. */
export type StoredEntry = StoredShape;

/** The same as a cache has it. */
export interface StoredToken extends StoredEntry {
  /** Of the dimensions, and with int8 of their scales. */
  readonly bytes: number;
}

/** The shape of a cache, and whose it is. */
export interface CacheLayout {
  /** Layers that store keys and values of their own. */
  readonly layers: number;
  /** KV heads of the unmodified model. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Query heads, where they are more than `kvHeads`: memory is laid out to suit them. */
  readonly queryHeads?: number;
  /** Group size of each expert; each divides `kvHeads`. One expert of size g is GQA, of size 1 the unmodified model. */
  readonly groupSizes: readonly number[];
  /**
   * What each expert stores of a token where that is not the heads of a group size: a number of vectors, for keys and values together. Then
   * the group sizes are all 1.
   */
  readonly entries?: readonly StoredEntry[];
  /**
   * Whether the first numbers of a vector are a coarser form of it, as in a latent whose numbers come in order of weight. Then a KV budget
   * coarsens tokens by leaving the last ones out, where there is a single expert; of other entries a budget can't be had.
   */
  readonly nested?: boolean;
  /** What a group of heads becomes where a KV budget coarsens tokens. Default: their mean. */
  readonly pooling?: Pooling;
  /** Element type of keys and values. Default f32. */
  readonly type?: KvType;
  /** Names the model and its weights: a cache can be restored only where this is the same. */
  readonly fingerprint: string;
}

export const LAYOUT: OptionNames<CacheLayout> = {
  layers: true, kvHeads: true, headDim: true, queryHeads: true, groupSizes: true, entries: { heads: true, headDim: true, packing: true }, nested: true, pooling: true, type: true, fingerprint: true,
};

/** What an arena has of a token: of heads that are grouped by `size` keys, and values, of so many heads; of entries their numbers, `size` times fewer. */
export function entryOf({ kvHeads, headDim, entries }: Pick<CacheLayout, 'kvHeads' | 'headDim' | 'entries'>, size: number, arena: number): StoredEntry {
  if (!entries) return { heads: kvHeads / size, headDim };
  const { heads, headDim: numbers, packing } = entries[arena] ?? entries[0]!;
  return { heads, headDim: numbers / size, ...(packing && { packing }) };
}

/** What the sizes of a budget's arenas divide. */
export function divisibleBy({ kvHeads, entries }: Pick<CacheLayout, 'kvHeads' | 'entries'>): number {
  return entries ? entries[0]!.headDim : kvHeads;
}

/** @throws ArgumentError when a count is not a whole number from 1, a group size does not divide the KV heads, or entries are not one for each of them */
export function checkLayout({ layers, kvHeads, headDim, groupSizes, entries }: CacheLayout): void {
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
  if (entries && !(entries.length === groupSizes.length && groupSizes.every((size) => size === 1) && entries.every(isEntry))) {
    throw new ArgumentError(
      `CachePool: expected an entry of vectors for each of ${groupSizes.length} experts, all of group size 1, got ${JSON.stringify(entries)} and ${groupSizes.join(', ')}`,
    );
  }
}

function isEntry({ heads, headDim }: StoredEntry): boolean {
  return [heads, headDim].every((count) => Number.isInteger(count) && count >= 1);
}
