// How the header of a serialised cache says what is stored. Groups of heads are told by their group sizes, and other formats by the shapes of their
// vectors, with sizes for the coarser forms of a single one: so it was before formats had names. Formats whose coarser forms have no sizes are named.
import { groupingOf, type KvType, type StoredFormat } from '@mixsga/backend';
import { formatNamed, type CacheLayout } from './layout';

/** The layout in a header, in the order of its keys. */
export interface LayoutKeys {
  readonly layers: number;
  /** KV heads of the unmodified model, and their dimensions. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** Names, in place of group sizes and entries. */
  readonly formats?: readonly string[];
  /** Of each expert; all 1 where entries tell what is stored. */
  readonly groupSizes?: readonly number[];
  readonly type: KvType;
  readonly fingerprint: string;
  /** Vectors for keys and values together. */
  readonly entries?: readonly { readonly heads: number; readonly headDim: number; readonly packing?: { readonly bytes: number } }[];
  /** Whether all formats have coarser forms of sizes. */
  readonly nested?: boolean;
}

/** The arenas in a header: the formats of the experts, then the coarser forms. */
export type ArenaKeys = { readonly groupSizes: readonly number[] } | { readonly formats: readonly string[] };

/** @param byName default: where a format has a ladder that sizes can't tell */
export function layoutKeys({ layers, formats, type = 'f32', fingerprint }: CacheLayout, byName = formats.some(hasNamedForms)): LayoutKeys {
  const { kvHeads, headDim } = formats[0]!;
  const shape = { layers, kvHeads, headDim };
  if (byName) return { ...shape, formats: namesOf(formats), type, fingerprint };
  const grouping = groupingOf(formats);
  if (grouping) return { ...shape, groupSizes: grouping.groupSizes, type, fingerprint };
  const entries = formats.map(({ stored: { heads, headDim, packing } }) => ({ heads, headDim, ...(packing && { packing: { bytes: packing.bytes } }) }));
  return { ...shape, groupSizes: formats.map(() => 1), type, fingerprint, entries, nested: formats.every(({ coarser }) => coarser?.sizes) };
}

export function arenaKeys(arenas: readonly StoredFormat[], { formats }: CacheLayout): ArenaKeys {
  return hasSizes(formats) ? { groupSizes: arenas.map((arena) => sizeOf(arena, formats)) } : { formats: namesOf(arenas) };
}

/** The formats of arenas; null where the keys are not those of the layout. */
export function arenasOf(keys: { readonly groupSizes?: unknown; readonly formats?: unknown }, { formats }: CacheLayout): readonly StoredFormat[] | null {
  const own = hasSizes(formats) ? keys.groupSizes : keys.formats;
  if (!Array.isArray(own) || own.length > 256) return null;
  const find = hasSizes(formats) ? ofSize : formatNamed;
  const arenas = (own as unknown[]).map((key) => find(key, formats));
  const fits = arenas.every((arena) => arena !== null) && formats.every(({ name }, i) => arenas[i]?.name === name);
  return fits ? arenas : null;
}

/** Whether sizes tell the coarser forms of formats: all group heads alike, or there is one. */
function hasSizes(formats: readonly StoredFormat[]): boolean {
  return groupingOf(formats) !== null || (formats.length === 1 && formats[0]!.coarser?.sizes !== undefined);
}

function hasNamedForms({ coarser }: StoredFormat): boolean {
  return coarser !== undefined && coarser.sizes === undefined;
}

function sizeOf({ kernel, stored }: StoredFormat, [finest]: readonly StoredFormat[]): number {
  return kernel?.kind === 'grouped' ? kernel.groupSize : (finest!.stored.heads * finest!.stored.headDim) / (stored.heads * stored.headDim);
}

function ofSize(size: unknown, [finest]: readonly StoredFormat[]): StoredFormat | null {
  const { divide, form } = finest!.coarser!.sizes!;
  return Number.isInteger(size) && (size as number) > 0 && divide % (size as number) === 0 ? form(size as number) : null;
}

function namesOf(formats: readonly StoredFormat[]): string[] {
  return formats.map(({ name }) => name);
}
