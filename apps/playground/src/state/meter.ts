import { formatBytes } from './format';
import type { RunView } from './run-view';

export interface MeterRow {
  readonly label: string;
  readonly bytes: number;
  /** Of MHA's; null where there is nothing to compare. */
  readonly share: number | null;
  readonly isOwn: boolean;
}

/** The rows of the KV meter, the bytes at its right end, and what the cache has reserved. */
export function meterRows({ started, cache, variant }: Pick<RunView, 'started' | 'cache' | 'variant'>): {
  rows: MeterRow[];
  scale: number;
  reserved: number;
} {
  const seen = cache?.tokensSeen ?? 0;
  const { mhaPerToken = 1, gqaPerToken = null, tokensAtMost = 1, kvBudget = null } = started ?? {};
  const limit = kvBudget === null ? '' : `, at most ${formatBytes(kvBudget)}`;
  const mha = seen * mhaPerToken;
  const own = cache?.bytesUsed ?? 0;
  const share = (bytes: number) => (mha > 0 ? bytes / mha : null);
  const reserved = cache?.bytesAllocated ?? 0;
  return {
    rows: [
      { label: 'MHA keeps every head', bytes: mha, share: null, isOwn: false },
      ...(gqaPerToken === null ? [] : [{ label: 'GQA, two heads share', bytes: seen * gqaPerToken, share: share(seen * gqaPerToken), isOwn: false }]),
      { label: `This run, ${variant.attention}${limit}`, bytes: own, share: share(own), isOwn: true },
    ],
    scale: Math.max(mhaPerToken * tokensAtMost, reserved),
    reserved,
  };
}
