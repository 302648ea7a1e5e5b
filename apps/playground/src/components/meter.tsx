import { formatBytes, formatPercent } from '../state/format';
import { meterRows } from '../state/meter';
import type { RunView } from '../state/run-view';

/** The bytes of the cache against what MHA and GQA would take for the same tokens. */
export function Meter({ run }: { run: RunView; revision: number }) {
  const { rows, scale, reserved } = meterRows(run);
  return (
    <div class="meter" role="group" aria-label="KV cache">
      {rows.map(({ label, bytes, share, isOwn }) => (
        <div class={isOwn ? 'meter-row own' : 'meter-row'} key={label}>
          <span class="meter-label">{label}</span>
          <div class="meter-track" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={scale} aria-valuenow={Math.min(bytes, scale)} aria-valuetext={formatBytes(bytes)}>
            {isOwn && <div class="meter-reserved" style={{ '--part': reserved / scale }} />}
            <div class="meter-bar" style={{ '--part': bytes / scale }} />
          </div>
          <span class="meter-value">
            {formatBytes(bytes)}
            {share !== null && <small> {formatPercent(share)}</small>}
          </span>
        </div>
      ))}
      <p class="hint">
        For {run.cache?.tokensSeen ?? 0} tokens{run.cache && run.cache.tokensKept < run.cache.tokensSeen && `, of which ${run.cache.tokensKept} are kept`}. Memory comes in
        pages of 32 tokens: {formatBytes(reserved)} are reserved (hatched).
      </p>
    </div>
  );
}
