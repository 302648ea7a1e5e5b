// A spec in tokens, bytes and formats of one layout.
import { ArgumentError, type KvType, type StoredFormat } from '@mixsga/backend';
import { ENTRY_BYTES } from '../layers/slot-entries';
import { bytesOf, type CacheLayout } from '../layout';
import { formatCacheSpec, type ResolvedSpec } from './cache-spec';
import { coarserOf, ladder } from './ladder';

/**
 * Share of the bytes that all tokens at the coarsest may take where no sizes are named. A coarser form more makes room for more tokens at the finest, but tokens
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
  readonly formats: readonly StoredFormat[];
  /** Of each arena, the one that its tokens are coarsened to next; null at the coarsest, and where nothing is coarsened. */
  readonly coarser: readonly (number | null)[];
}

export interface ByteLimit {
  /** Of the cache. */
  readonly total: number;
  readonly layer: number;
  /** What a step can add to a layer: the bytes of a token as the finest expert stores it, with its entry. */
  readonly finest: number;
}

/**
 * @param maxTokens the length that the sequence can reach
 * @param known the forms that the arenas of a cache have already, where the spec names no sizes
 * @throws ArgumentError when a share lacks `maxTokens`, or the bytes are too few: for a token and a new one, or where nothing is evicted for
 *   `maxTokens` tokens at the coarsest
 */
export function limitOf(
  spec: ResolvedSpec, { layers, formats: stored, type = 'f32' }: Pick<CacheLayout, 'layers' | 'formats' | 'type'>, maxTokens: number | null, known?: readonly StoredFormat[],
): Limit {
  const name = `cache ${formatCacheSpec(spec)}`;
  const { limit, action, sizes } = spec;
  const uncoarsened = { formats: stored, coarser: stored.map(() => null) };
  if ('tokens' in limit) {
    const length = expectLength(name, maxTokens, 'of which it keeps a share');
    return { spec, name, maxTokens, capacity: capacityOf(limit.tokens, length), bytes: null, ...uncoarsened };
  }
  const largest = Math.max(...stored.map((format) => bytesOf(format, type)));
  const total = 'bytes' in limit ? limit.bytes : sharedBytes(limit.share, layers * expectLength(name, maxTokens, 'of whose bytes it is a share') * largest);
  const enough = (form: StoredFormat) => maxTokens !== null && layers * maxTokens * (bytesOf(form, type) + ENTRY_BYTES) <= COARSEST_SHARE * total;
  const arenas = action === 'evict' ? uncoarsened : coarsening(ladder(stored, { sizes, known, type, enough }), type);
  const bytes = { total, layer: Math.floor(total / layers), finest: largest + ENTRY_BYTES };
  // Between two steps a layer has room for the next token.
  const made: Limit = { spec, name, maxTokens, capacity: Math.floor(bytes.layer / bytes.finest) - 1, bytes, ...arenas };
  expectRoom(made, layers, Math.max(...stored.map((_, expert) => bytesOf(arenas.formats[endOf(arenas.coarser, expert)]!, type) + ENTRY_BYTES)));
  return made;
}

/** @throws ArgumentError when a format has a way to its next form, but none to one after that */
function coarsening(formats: readonly StoredFormat[], type: KvType): Pick<Limit, 'formats' | 'coarser'> {
  const coarser = formats.map((_, arena) => coarserOf(formats, arena, type));
  formats.forEach(({ name, coarser: forms }, arena) => {
    for (let next = coarser[arena]!; next !== null; next = coarser[next]!) {
      if (!forms!.to(formats[next]!)) throw new ArgumentError(`cache: expected a way from ${name} to ${formats[next]!.name}, to whose coarser form there is one, got none`);
    }
  });
  return { formats, coarser };
}

/** Where coarsening ends for the tokens of an arena. */
function endOf(coarser: readonly (number | null)[], arena: number): number {
  const next = coarser[arena]!;
  return next === null ? arena : endOf(coarser, next);
}

/** Tokens that a layer keeps of a share: ⌈share · maxTokens⌉, from 1. Shares are decimal, and 0.07 · 100 is 7.000000000000001. */
export function capacityOf(share: number, maxTokens: number): number {
  return Math.max(1, Math.ceil(share * maxTokens - 1e-9));
}

/** ⌊share · bytes⌋; 0.29 · 100 is 28.999999999999996. */
function sharedBytes(share: number, bytes: number): number {
  return Math.floor(share * bytes * (1 + 1e-12));
}

/** @param coarsest bytes of a token that is compressed as far as it can be, with its entry: the most of all experts */
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
