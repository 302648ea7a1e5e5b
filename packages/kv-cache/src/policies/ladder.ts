import { ArgumentError, type KvType, type StoredFormat } from '@mixsga/backend';
import { bytesOf } from '../layout';

/** What the arenas of a cache that coarsens are to have. */
export interface LadderOptions {
  /** Those that the text names; null where it names none. */
  readonly sizes: readonly number[] | null;
  /** The forms that a cache has already, where the text names no sizes. */
  readonly known?: readonly StoredFormat[] | undefined;
  readonly type: KvType;
  /** Whether a form is coarse enough for no other to be needed. */
  readonly enough: (form: StoredFormat) => boolean;
}

/**
 * The formats of the arenas of a cache that coarsens: those that tokens are stored with, then the coarser forms that they can be brought to, the
 * finest first. Unless sizes are named, these are the coarser forms of the coarsest format, up to the first that is enough.
 *
 * @throws ArgumentError when a format does not have a size that is named, or no token could be coarsened
 */
export function ladder(stored: readonly StoredFormat[], { sizes, known, type, enough }: LadderOptions): StoredFormat[] {
  const forms = sizes ? ofSizes(stored, sizes) : (known ?? untilEnough(coarsestOf(stored, type)?.coarser?.ladder ?? [], enough));
  const added = new Map(forms.map((form) => [form.name, form]));
  for (const { name } of stored) added.delete(name);
  const formats = [...stored, ...[...added.values()].sort((a, b) => bytesOf(b, type) - bytesOf(a, type))];
  if (formats.some((_, arena) => coarserOf(formats, arena, type) !== null)) return formats;
  const names = formats.map(({ name }) => name).join(', ');
  throw new ArgumentError(`cache: expected formats that tokens can be coarsened to, got ${names}; use eviction, such as h2o:0.5`);
}

/** The arena that a token of an arena is coarsened to next, of the most bytes that there is a way to; null at the coarsest. */
export function coarserOf(formats: readonly StoredFormat[], arena: number, type: KvType): number | null {
  const { coarser } = formats[arena]!;
  let best: number | null = null;
  formats.forEach((other, i) => {
    if (i !== arena && coarser?.to(other) && (best === null || bytesOf(other, type) > bytesOf(formats[best]!, type))) best = i;
  });
  return best;
}

function coarsestOf(stored: readonly StoredFormat[], type: KvType): StoredFormat | undefined {
  return stored.filter(({ coarser }) => coarser).sort((a, b) => bytesOf(a, type) - bytesOf(b, type))[0];
}

function ofSizes(stored: readonly StoredFormat[], sizes: readonly number[]): StoredFormat[] {
  const sized = stored.find(({ coarser }) => coarser?.sizes)?.coarser?.sizes;
  if (!sized) {
    const { name, coarser } = stored.find(({ coarser }) => coarser) ?? stored[0]!;
    const own = coarser ? `whose coarser forms are ${coarser.ladder.map((form) => form.name).join(', ')}` : 'which has no coarser form';
    throw new ArgumentError(`cache: expected no sizes for ${name}, ${own}, got ${sizes.join(',')}`);
  }
  const misfit = sizes.find((size) => size < 1 || sized.divide % size !== 0);
  if (misfit !== undefined) throw new ArgumentError(`cache: expected sizes that divide ${sized.divide}, got ${misfit}`);
  return sizes.map((size) => sized.form(size));
}

function untilEnough(forms: readonly StoredFormat[], enough: (form: StoredFormat) => boolean): readonly StoredFormat[] {
  const last = forms.findIndex(enough);
  return last < 0 ? forms : forms.slice(0, last + 1);
}
