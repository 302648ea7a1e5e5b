import { ArgumentError, type FormatLayout, type KvFormat } from '@mixsga/backend';
import type { FormatFactory } from './format';
import { groupedFormat } from './grouped/grouped';
import { kvGroupedFormat } from './kv-grouped/kv-grouped';
import { latentFormat } from './latent/latent';

/** The formats that come with this package. A new one is one folder and one line here. */
export const formats = {
  grouped: groupedFormat,
  'kv-grouped': kvGroupedFormat,
  latent: latentFormat,
} satisfies Record<string, FormatFactory<never>>;

export type FormatKind = keyof typeof formats;

/** What a format of the catalog is made with. */
export type FormatOptions<Kind extends FormatKind> = Parameters<(typeof formats)[Kind]>[0];

/**
 * Makes a format.
 *
 * @param kind a name of the catalog, or a factory of your own
 * @throws ArgumentError on a name that the catalog lacks, or when the options do not fit together
 */
export function createFormat<Kind extends FormatKind>(kind: Kind, options: FormatOptions<Kind>): KvFormat;
export function createFormat<Options extends FormatLayout>(kind: FormatFactory<Options>, options: Options): KvFormat;
export function createFormat(kind: FormatKind | FormatFactory<never>, options: unknown): KvFormat {
  const create = typeof kind === 'function' ? kind : Object.hasOwn(formats, kind) && formats[kind];
  if (create) return create(options as never);
  throw new ArgumentError(`createFormat: expected a format of ${Object.keys(formats).join(', ')}, got '${String(kind)}'`);
}
