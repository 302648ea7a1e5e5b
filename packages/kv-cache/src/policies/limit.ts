// A spec in the numbers of one layout.
import { ArgumentError } from '@mixsga/backend';
import { ENTRY_BYTES } from '../layers/slot-entries';
import { formatCacheSpec, type ResolvedSpec } from './cache-spec';
import { coarserOf, ladder } from './ladder';

/**
 * Share of the bytes that all tokens at the coarsest may take where sizes are chosen. A size more makes room for more tokens at the finest, but tokens
 * at the coarsest are then hardly more than evicted: that lost more of latents, and as much of heads (docs/beyond.md).
 */
const COARSEST_SHARE = 2 / 3;

/** What a spec comes to in the caches of a layout. */
export interface Limit {
  readonly spec: ResolvedSpec;
  /** For messages: `cache h2o:0.5`. */
  readonly name: string;
  /** The length that the sequence can reach, as far as it was needed. */
  readonly maxTokens: number | null;
  /** As policies see it, see `RankedTokens`; where the limit is in tokens, the tokens that a layer keeps. */
  readonly capacity: number;
  /** Null where the limit is in tokens. */
  readonly bytes: ByteLimit | null;
  /** Of the arenas; the first are those that tokens are stored with. */
  readonly groupSizes: readonly number[];
}

export interface ByteLimit {
  /** Of the cache. */
  readonly total: number;
  readonly layer: number;
  /** What a step can add to a layer: the bytes of a token as the finest expert stores it, with its entry. */
  readonly finest: number;
}

export interface LimitedLayout {
  readonly layers: number;
  /** What group sizes divide: the KV heads, or the dimensions of an entry. */
  readonly divisible: number;
  /** Of what is stored. */
  readonly groupSizes: readonly number[];
  /** Bytes of a token's keys and values in arenas of some group sizes, the first of which are those of the experts. */
  readonly tokenBytes: (groupSizes: readonly number[]) => readonly number[];
}

/**
 * @param maxTokens the length that the sequence can reach
 * @param known the group sizes where the spec names none and a cache has them already
 * @throws ArgumentError when a share lacks `maxTokens`, or the bytes are too few: for a token and a new one, or where nothing is evicted for
 *   `maxTokens` tokens at the coarsest
 */
export function limitOf(spec: ResolvedSpec, layout: LimitedLayout, maxTokens: number | null, known?: readonly number[]): Limit {
  const name = `cache ${formatCacheSpec(spec)}`;
  const { limit, action } = spec;
  if ('tokens' in limit) {
    const length = expectLength(name, maxTokens, 'of which it keeps a share');
    return { spec, name, maxTokens, capacity: capacityOf(limit.tokens, length), bytes: null, groupSizes: layout.groupSizes };
  }
  const { layers, groupSizes: stored, divisible, tokenBytes } = layout;
  const largest = Math.max(...tokenBytes(stored));
  const total = 'bytes' in limit ? limit.bytes : sharedBytes(limit.share, layers * expectLength(name, maxTokens, 'of whose bytes it is a share') * largest);
  const enough = (size: number) => maxTokens !== null && layers * maxTokens * (tokenBytes([size])[0]! + ENTRY_BYTES) <= COARSEST_SHARE * total;
  const groupSizes = action === 'evict' ? stored : ladder(stored, divisible, spec.sizes ?? known, enough);
  const bytes = { total, layer: Math.floor(total / layers), finest: largest + ENTRY_BYTES };
  // Between two steps a layer has room for the next token.
  const made: Limit = { spec, name, maxTokens, capacity: Math.floor(bytes.layer / bytes.finest) - 1, bytes, groupSizes };
  expectRoom(made, layers, leastBytes(groupSizes, tokenBytes(groupSizes), stored.length, action !== 'evict'));
  return made;
}

/** Tokens that a layer keeps of a share: ⌈share · maxTokens⌉, from 1. Shares are decimal, and 0.07 · 100 is 7.000000000000001. */
export function capacityOf(share: number, maxTokens: number): number {
  return Math.max(1, Math.ceil(share * maxTokens - 1e-9));
}

/** ⌊share · bytes⌋; 0.29 · 100 is 28.999999999999996. */
function sharedBytes(share: number, bytes: number): number {
  return Math.floor(share * bytes * (1 + 1e-12));
}

/** Bytes of a token where coarsening ends, with its entry: the most of all experts. */
function leastBytes(groupSizes: readonly number[], tokenBytes: readonly number[], experts: number, coarsens: boolean): number {
  const end = (arena: number): number => {
    const next = coarsens ? coarserOf(groupSizes, arena) : null;
    return next === null ? arena : end(next);
  };
  return Math.max(...Array.from({ length: experts }, (_, expert) => tokenBytes[end(expert)]! + ENTRY_BYTES));
}

/** @param coarsest bytes of a token that is compressed as far as it can be */
function expectRoom({ spec, name, maxTokens, bytes }: Limit, layers: number, coarsest: number): void {
  const { total, finest } = bytes!;
  if (spec.action !== 'coarsen') {
    const least = layers * (coarsest + finest);
    if (total >= least) return;
    throw new ArgumentError(`${name}: expected at least ${least} bytes, for a token at the coarsest and a new one, got ${total}`);
  }
  const length = expectLength(name, maxTokens, 'all of which it keeps', '; or a policy that evicts');
  const least = layers * ((length - 1) * coarsest + finest);
  if (total >= least) return;
  const evicting = formatCacheSpec({ ...spec, action: 'coarsen+evict' });
  throw new ArgumentError(
    `${name}: expected at least ${least} bytes, which ${length} tokens at the coarsest need, got ${total}; ask for fewer tokens, or let it evict too (${evicting})`,
  );
}

function expectLength(name: string, maxTokens: number | null, why: string, otherwise = ''): number {
  if (maxTokens !== null && Number.isInteger(maxTokens) && maxTokens >= 1) return maxTokens;
  throw new ArgumentError(`${name}: expected maxTokens, ${why}, to be a whole number from 1, got ${maxTokens}${otherwise}`);
}
