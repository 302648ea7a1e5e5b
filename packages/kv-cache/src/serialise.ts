// A serialised cache, version 1. All numbers are little-endian, all parts multiples of 4 bytes:
//
//   8 bytes   "mixsgakv"
//   uint32    bytes of the header
//   header    JSON in UTF-8 (see FileHeader), spaces at its end
//   places    of each layer: without a limit its packed expert index, zeros at its end;
//             with one, for each arena, positions int32 [n] and scores float32 [n] in slot order
//   rows      of each layer and arena: keys, then values, in slot order (see rows.ts)
//   32 bytes  SHA-256 of all of the above
import { ArgumentError, BackendError, TOKENS_PER_PAGE, type PageStore, type StoredFormat } from '@mixsga/backend';
import { expertBits, ExpertIndex } from './expert-index';
import type { Arena } from './layers/arena';
import type { KeepAllLayer } from './layers/keep-all';
import { SlotEntries } from './layers/slot-entries';
import { LimitedLayer } from './layers/limited';
import { isJoint, pageHeads, type CacheLayout } from './layout';
import { formatPolicy, parsePolicy } from './policies/cache-fields';
import { formatCacheSpec, resolveCacheSpec, type ResolvedSpec } from './policies/cache-spec';
import type { Limit } from './policies/limit';
import { decodeRows, encodeRows, rowBytes, type RowFormat } from './rows';
import { arenaKeys, arenasOf, layoutKeys, type ArenaKeys, type LayoutKeys } from './serialised-layout';

const MAGIC = 'mixsgakv';
const SCHEMA = 'mixsga/kv-cache@1';
const HEADER_AT = MAGIC.length + 4;
const DIGEST_BYTES = 32;

/** The JSON of a header. */
interface FileHeader extends LimitHeader {
  readonly schema: typeof SCHEMA;
  readonly layout: LayoutKeys;
  readonly tokensSeen: number;
  /** Tokens kept, by layer and arena. */
  readonly tokens: readonly (readonly number[])[];
}

/** A header that was found to be of the layout. */
export interface Header extends Omit<FileHeader, 'layout' | 'schema'> {
  readonly layout: CacheLayout;
  /** The format of each arena. */
  readonly arenas: readonly StoredFormat[];
}

/** What a header has of a limit. */
interface LimitHeader {
  /** The text of a spec that evicts, and what it was made with; null where there is none. */
  readonly eviction: { readonly policy: string; readonly maxTokens: number | null } | null;
  /** Where a spec coarsens: its `kvPolicy`, see `CacheFields`, its bytes, and the arenas; null or left out where there is none. */
  readonly budget?: BudgetHeader | null;
}

type BudgetHeader = ArenaKeys & {
  readonly policy: string;
  readonly maxTokens: number | null;
  readonly bytes: number;
};

export function headerOf(limit: Limit | null, layout: CacheLayout): Required<LimitHeader> {
  if (!limit) return { eviction: null, budget: null };
  const { spec, maxTokens, bytes, formats } = limit;
  if (spec.action === 'evict') return { eviction: { policy: formatCacheSpec(spec), maxTokens }, budget: null };
  return { eviction: null, budget: { policy: formatPolicy(spec), maxTokens, bytes: bytes!.total, ...arenaKeys(formats, layout) } };
}

/** The spec of a header; null where there is no limit. @throws ArgumentError when it names no policy */
export function specOfHeader({ eviction, budget }: LimitHeader): ResolvedSpec | null {
  const who = 'CachePool.restore';
  return resolveCacheSpec(budget ? { ...parsePolicy(budget.policy, who), limit: { bytes: budget.bytes } } : (eviction?.policy ?? 'none'), who);
}

/** What tells the place of a layer's tokens. */
export interface Places {
  /** Of a layer that keeps all. */
  readonly index?: ExpertIndex;
  /** Of one with a limit, by arena. */
  readonly entries?: readonly SlotEntries[];
}

/**
 * A cache as bytes.
 * @throws BackendError when there is no memory for them, or no SHA-256 on an insecure page
 */
export async function serialise(
  { layout, limit, tokensSeen }: { layout: CacheLayout; limit: Limit | null; tokensSeen: number },
  layers: readonly (KeepAllLayer | LimitedLayer)[],
): Promise<Uint8Array> {
  const tokens = layers.map(({ arenas }) => arenas.map((arena) => arena.tokens));
  const file: FileHeader = { schema: SCHEMA, layout: layoutKeys(layout), tokensSeen, ...headerOf(limit, layout), tokens };
  const whole: Header = { ...file, layout, arenas: limit?.formats ?? layout.formats };
  const json = new TextEncoder().encode(JSON.stringify(file));
  const headerBytes = padded(json.length);
  const bytes = reserve(HEADER_AT + headerBytes + placesBytes(whole) + rowsBytes(whole) + DIGEST_BYTES);
  bytes.set(new TextEncoder().encode(MAGIC));
  new DataView(bytes.buffer).setUint32(MAGIC.length, headerBytes, true);
  bytes.fill(0x20, HEADER_AT, HEADER_AT + headerBytes).set(json, HEADER_AT);

  let at = HEADER_AT + headerBytes;
  const put = (part: ArrayBufferView) => {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += padded(part.byteLength);
  };
  for (const layer of layers) {
    if (!(layer instanceof LimitedLayer)) {
      put(layer.index.packed);
      continue;
    }
    layer.entries.forEach(({ positions, scores }, expert) => {
      put(positions.subarray(0, layer.arenas[expert]!.tokens));
      put(scores.subarray(0, layer.arenas[expert]!.tokens));
    });
  }
  for (const arena of layers.flatMap(({ arenas }) => arenas)) {
    const pages = await Promise.all(arena.pages.map((page, p) => arena.store.read(page, tokensOf(arena.tokens, p))));
    encodeRows(arena.store, pages.map(({ k }) => k)).forEach(put);
    encodeRows(valuesOf(arena.store), pages.map(({ v }) => v)).forEach(put);
  }
  bytes.set(await digest(bytes.subarray(0, at)), at);
  return bytes;
}

/** A serialised cache that was found whole, and of the layout. */
export class SerialisedCache {
  readonly header: Header;
  /** By layer. */
  readonly places: readonly Places[];
  readonly #rows: Uint8Array;

  private constructor(header: Header, places: Uint8Array, rows: Uint8Array) {
    this.header = header;
    this.places = readPlaces(header, places);
    this.#rows = rows;
  }

  /**
   * @throws ArgumentError when the bytes are none of {@link serialise}, were changed or cut short, or the cache is of another
   *   layout or model
   */
  static async open(serialised: Uint8Array, layout: CacheLayout): Promise<SerialisedCache> {
    // Node's Buffer is a Uint8Array, but its slices are no copies.
    const bytes = new Uint8Array(serialised.buffer, serialised.byteOffset, serialised.byteLength);
    const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length));
    if (magic !== MAGIC) throw refusal(`a serialised cache, which begins with ${MAGIC}`, JSON.stringify(magic));
    const end = bytes.length - DIGEST_BYTES;
    const whole = end >= HEADER_AT && (await digest(bytes.subarray(0, end))).every((byte, i) => byte === bytes[end + i]);
    if (!whole) throw refusal('a whole cache', `${bytes.length} bytes that were damaged or cut short; serialise it again`);
    const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
    if (headerBytes % 4 !== 0 || headerBytes > end - HEADER_AT) {
      throw refusal(`a header within its ${bytes.length} bytes`, `one of ${headerBytes} bytes`);
    }
    const placesAt = HEADER_AT + headerBytes;
    const header = readHeader(bytes.subarray(HEADER_AT, placesAt), layout);
    const rowsAt = placesAt + placesBytes(header);
    const expected = rowsAt + rowsBytes(header) + DIGEST_BYTES;
    if (expected !== bytes.length) throw refusal(`${expected} bytes by its header`, `${bytes.length}`);
    return new SerialisedCache(header, bytes.subarray(placesAt, rowsAt), bytes.subarray(rowsAt, end));
  }

  /**
   * Puts the rows into empty arenas.
   * @throws BackendError when there is no memory for a page
   */
  load(arenas: readonly Arena[]): void {
    const counts = this.header.tokens.flat();
    arenas.forEach((arena, i) => arena.reserve(counts[i]!));
    let at = 0;
    arenas.forEach((arena, i) => {
      const tokens = counts[i]!;
      const { store } = arena;
      const values = valuesOf(store);
      const [k, v] = [store, values].map((format) => this.#rows.subarray(at, (at += rowBytes(format, tokens)))) as [Uint8Array, Uint8Array];
      arena.pages.forEach((page, p) => {
        const rows = (format: RowFormat, part: Uint8Array) => decodeRows(format, part, tokens, p * TOKENS_PER_PAGE, tokensOf(tokens, p));
        store.write(page, 0, rows(store, k), rows(values, v));
      });
      arena.tokens = tokens;
    });
  }
}

function readHeader(bytes: Uint8Array, layout: CacheLayout): Header {
  let header: Partial<FileHeader> | null;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes)) as Partial<FileHeader> | null;
  } catch {
    throw refusal('a header in JSON', 'other text');
  }
  if (header?.schema !== SCHEMA) throw refusal(`a cache of ${SCHEMA}`, JSON.stringify(header?.schema));
  const { type = 'f32' } = header.layout ?? {};
  if (type !== layout.type) {
    throw refusal(`a cache of ${layout.type} keys and values`, `one of ${JSON.stringify(type)}; open the model with that type of cache`);
  }
  // A format may have got coarser forms since, and with them its name in files.
  const keys = layoutKeys(layout, header.layout?.formats ? true : header.layout?.groupSizes ? false : undefined);
  for (const key of Object.keys(keys) as (keyof LayoutKeys)[]) {
    if (key === 'type') continue;
    const [expected, got] = [keys[key], header.layout?.[key]].map((value) => JSON.stringify(value));
    if (expected !== got) throw refusal(`a cache with ${key} ${expected}`, `one with ${got}, of another model or attention variant`);
  }
  const { tokensSeen, tokens, eviction, budget = null } = header as FileHeader;
  const arenas = budget === null ? layout.formats : arenasOf(budget, layout);
  if (!arenas || !isBudget(budget)) throw refusal('a budget with bytes, policy, maxTokens and group sizes, or null', 'something else in its header');
  if (!isCount(tokensSeen)) throw refusal('tokensSeen to be a count', JSON.stringify(tokensSeen));
  const counted =
    isArrayOf(tokens, layout.layers) && tokens.every((layer) => isArrayOf(layer, arenas.length) && layer.every(isCount));
  if (!counted) throw refusal('a count of tokens for each layer and expert', 'something else in its header');
  if (eviction !== null && (typeof eviction?.policy !== 'string' || !(eviction.maxTokens === null || isCount(eviction.maxTokens)))) {
    throw refusal('eviction with policy and maxTokens, or null', 'something else in its header');
  }
  for (const layer of tokens) {
    const kept = layer.reduce((a, b) => a + b, 0);
    if (keepsAll({ eviction, budget }) ? kept !== tokensSeen : kept > tokensSeen) {
      throw refusal(`${tokensSeen} tokens in each layer by its header`, `${kept}`);
    }
  }
  return { tokensSeen, tokens, eviction, budget, layout, arenas };
}

function readPlaces(header: Header, bytes: Uint8Array): Places[] {
  const { tokensSeen, tokens } = header;
  let at = 0;
  const take = (length: number) => bytes.slice(at, (at += padded(length)));
  return tokens.map((counts, layer) => {
    if (keepsAll(header)) {
      const index = ExpertIndex.fromPacked(counts.length, tokensSeen, take(indexBytes(counts.length, tokensSeen)));
      const found = counts.map(() => 0);
      for (let token = 0; token < tokensSeen; token++) found[index.get(token)]!++;
      if (counts.some((count, expert) => count !== found[expert])) {
        throw refusal(`${counts.join(', ')} tokens of the experts in layer ${layer}`, `an index with ${found.join(', ')}`);
      }
      return { index };
    }
    const entries = counts.map((count) => {
      const entry = new SlotEntries();
      entry.positions = new Int32Array(take(4 * count).buffer);
      entry.scores = new Float32Array(take(4 * count).buffer);
      return entry;
    });
    const positions = Int32Array.from(entries.flatMap((entry) => [...entry.positions])).sort();
    const valid =
      positions.every((position, i) => position > (positions[i - 1] ?? -1) && position < tokensSeen) &&
      entries.every(({ scores }) => scores.every(Number.isFinite));
    if (!valid) throw refusal(`different positions below ${tokensSeen} and finite scores in layer ${layer}`, 'others');
    return { entries };
  });
}

function placesBytes(header: Header): number {
  const { tokensSeen, tokens } = header;
  const entryBytes = (counts: readonly number[]) => 8 * counts.reduce((a, b) => a + b, 0);
  return tokens.reduce(
    (sum, counts) => sum + (keepsAll(header) ? padded(indexBytes(counts.length, tokensSeen)) : entryBytes(counts)),
    0,
  );
}

function rowsBytes(header: Header): number {
  const { layout: { formats, type = 'f32' }, tokens, arenas } = header;
  const joint = isJoint(formats);
  const rows = arenas.map((arena): RowFormat => ({ ...arena.stored, type, heads: pageHeads(arena, joint) }));
  return tokens.flat().reduce((sum, count, i) => sum + (joint ? 1 : 2) * rowBytes(rows[i % rows.length]!, count), 0);
}

/** How a store has values. */
function valuesOf({ type, heads, joint, headDim }: PageStore): RowFormat {
  return { type, heads: joint ? 0 : heads, headDim };
}

/** Whether tokens are in the order of the text, so that the index alone tells where each is. */
function keepsAll({ eviction, budget }: LimitHeader): boolean {
  return eviction === null && !budget;
}

function isBudget(budget: BudgetHeader | null): boolean {
  if (budget === null) return true;
  const { policy, maxTokens, bytes } = budget;
  return typeof policy === 'string' && (maxTokens === null || isCount(maxTokens)) && Number.isSafeInteger(bytes);
}

function indexBytes(experts: number, tokens: number): number {
  return Math.ceil((tokens * expertBits(experts)) / 8);
}

/** Of an arena's tokens, those of its page number `page`. */
function tokensOf(tokens: number, page: number): number {
  return Math.min(TOKENS_PER_PAGE, tokens - page * TOKENS_PER_PAGE);
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;
}

function isArrayOf(value: unknown, length: number): value is unknown[] {
  return Array.isArray(value) && value.length === length;
}

function reserve(length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new BackendError(`KvCache.serialise: there is no memory for ${length} bytes; truncate the cache first`, { cause });
  }
}

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  const { subtle } = crypto as Partial<Crypto>;
  if (!subtle) throw new BackendError('a serialised cache needs SHA-256, which browsers have on pages of https and localhost only');
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}

function refusal(expected: string, got: string): ArgumentError {
  return new ArgumentError(`CachePool.restore: expected ${expected}, got ${got}`);
}
