import type { FormatLayout, KvFormat } from '@mixsga/backend';

/** Makes a format; pass one of your own to `createFormat` to use it without registering anything. */
export type FormatFactory<Options extends FormatLayout = FormatLayout> = (options: Options) => KvFormat;
