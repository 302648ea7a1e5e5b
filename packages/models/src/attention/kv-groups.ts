// Groups of KV heads that may be of one size for keys and of another for values.
import { createFormat } from '@mixsga/experts';
import { parseCount } from './parse-count';
import type { LayerFormats } from './variant';

export interface GroupSizes {
  readonly k: number;
  readonly v: number;
}

/** `2`, or `k4v2`: keys in groups of 4, values in groups of 2. Null when the text is neither. */
export function parseGroups(text: string): GroupSizes | null {
  const [, k = null, v = null] = /^k(\d+)v(\d+)$/.exec(text) ?? [null, text, text];
  const [keys, values] = [parseCount(k), parseCount(v)];
  return keys !== null && values !== null ? { k: keys, v: values } : null;
}

export function formatGroups({ k, v }: GroupSizes): string {
  return k === v ? String(k) : `k${k}v${v}`;
}

/** How many times fewer numbers they leave of a token. */
export function kvCompression({ k, v }: GroupSizes): number {
  return k === v ? k : 2 / (1 / k + 1 / v);
}

/** Formats of one size for keys and another for values. A mean of keys turns as keys do. */
export function kvGroupedFormats(sizes: readonly GroupSizes[]): LayerFormats {
  const create: LayerFormats['stored'] & LayerFormats['create'] = ({ kvHeads, headDim }) =>
    sizes.map((groupSizes) => createFormat('kv-grouped', { kvHeads, headDim, groupSizes }));
  return { takesRotatedKeys: true, grouping: null, stored: create, create };
}
