import { ArgumentError, groupingOf, storedBits, type KvType, type OptionNames, type PageFormat, type StoredFormat, type StoredShape } from '@mixsga/backend';

/** What is stored of a token, as a cache has it. */
export interface StoredToken extends Pick<StoredShape, 'heads' | 'headDim'> {
  /** Of the dimensions, and with int8 of their scales. */
  readonly bytes: number;
}

/** The shape of a cache, and whose it is. */
export interface CacheLayout {
  /** Layers that store keys and values of their own. */
  readonly layers: number;
  /**
   * What each expert stores of a token, such as `storedGroups` or a `KvFormat`: one of group size g is GQA, of size 1 the unmodified model. Where a
   * limit coarsens tokens, they move to the coarser forms that these formats have.
   */
  readonly formats: readonly StoredFormat[];
  /** The same formats as one layer packs them, where that depends on constants of the layer: names and bytes are those of {@link formats}. */
  readonly formatsOf?: (layer: number) => readonly StoredFormat[];
  /** Query heads, where they are more than the KV heads: memory is laid out to suit them. */
  readonly queryHeads?: number;
  /** Element type of keys and values, where a format does not pack them. Default f32. */
  readonly type?: KvType;
  /** Names the model and its weights: a cache can be restored only where this is the same. */
  readonly fingerprint: string;
}

export const LAYOUT: OptionNames<CacheLayout> = { layers: true, formats: true, formatsOf: true, queryHeads: true, type: true, fingerprint: true };

/** Bytes of a token in a format. */
export function bytesOf({ stored }: StoredFormat, type: KvType): number {
  return storedBits(stored, type) / 8;
}

/** A format by its name: one of some formats, of their ladders, or of their forms of all sizes. */
export function formatNamed(name: unknown, formats: readonly StoredFormat[]): StoredFormat | null {
  const matches = (format: StoredFormat) => format.name === name;
  const known = formats.find(matches) ?? formats.flatMap(({ coarser }) => coarser?.ladder ?? []).find(matches);
  if (known) return known;
  const { divide = 0, form } = formats.find(({ coarser }) => coarser?.sizes)?.coarser?.sizes ?? {};
  for (let size = 1; size <= divide; size++) if (divide % size === 0 && matches(form!(size))) return form!(size);
  return null;
}

/** Some formats of a layout, or their coarser forms, as one layer has them. @throws ArgumentError when it has others */
export function formatsInLayer(formats: readonly StoredFormat[], layer: number, { formatsOf }: CacheLayout): readonly StoredFormat[] {
  const own = formatsOf?.(layer);
  if (!own) return formats;
  return formats.map(({ name, stored }) => {
    const found = formatNamed(name, own);
    if (found && storedBits(found.stored, 'f32') === storedBits(stored, 'f32')) return found;
    throw new ArgumentError(`CachePool: expected layer ${layer} to have format ${name} of ${storedBits(stored, 'f32') / 8} bytes, got ${own.map((other) => other.name).join(', ')}`);
  });
}

/** Whether stores have keys and values in the same vectors. Kernels for groups of heads read them apart. */
export function isJoint(formats: readonly StoredFormat[]): boolean {
  return groupingOf(formats) === null;
}

/** Heads of keys, and as many of values, or vectors of both together. */
export function pageHeads({ stored: { heads } }: StoredFormat, joint: boolean): number {
  return joint ? heads : heads / 2;
}

/** The pages of one of the forms in a layout. */
export function pageFormatOf(form: StoredFormat, { formats, queryHeads, type = 'f32' }: CacheLayout): PageFormat {
  const joint = isJoint(formats);
  const { headDim, packing } = form.stored;
  return { heads: pageHeads(form, joint), headDim, queryHeads: queryHeads ?? form.kvHeads, type, ...(joint && { joint, ...(packing && { packing }) }) };
}

/** @throws ArgumentError when a count is not a whole number from 1, or the formats are not those of one layer */
export function checkLayout(who: string, { layers, formats }: Pick<CacheLayout, 'layers' | 'formats'>): void {
  if (!isCount(layers)) throw new ArgumentError(`${who}: expected layers to be a whole number from 1, got ${layers}`);
  if (formats.length === 0 || formats.length > 256) throw new ArgumentError(`${who}: expected 1 to 256 formats, got ${formats.length}`);
  const [first] = formats as [StoredFormat];
  for (const format of formats) {
    const { name, kvHeads, headDim, stored } = format;
    if (![kvHeads, headDim, stored.heads, stored.headDim, stored.packing?.bytes ?? 1].every(isCount)) {
      throw new ArgumentError(`${who}: expected the counts of format ${name} to be whole numbers from 1, got ${JSON.stringify({ kvHeads, headDim, stored })}`);
    }
    if (kvHeads !== first.kvHeads || headDim !== first.headDim) {
      throw new ArgumentError(`${who}: expected formats of ${first.kvHeads} KV heads of ${first.headDim}, as ${first.name} has, got ${kvHeads} of ${headDim} in ${name}`);
    }
    const twin = formats.find((other) => other.name === name)!;
    if (storedBits(stored, 'f32') !== storedBits(twin.stored, 'f32')) {
      throw new ArgumentError(`${who}: expected formats of one name to store the same, got two of ${name}`);
    }
  }
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1;
}
