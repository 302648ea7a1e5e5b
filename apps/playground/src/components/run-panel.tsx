import { useSignal } from '@preact/signals';
import type { Session } from '../session';
import { formatPercent, formatSpeed } from '../state/format';
import type { RunStatus, RunView } from '../state/run-view';
import { ExpertMap } from './expert-map';
import { Meter } from './meter';
import { TextView } from './text-view';
import { TokenDetail } from './token-detail';

interface Props {
  readonly id: string;
  readonly session: Session;
  readonly run: RunView;
  readonly layer: number | null;
  /** For each token after the prompt, whether the other run lacks it. */
  readonly differs: readonly boolean[] | null;
}

const statusTexts: Readonly<Record<RunStatus, string>> = {
  waiting: 'waits for its turn', backend: 'starting the backend', weights: 'reading the weights', prompt: 'reading the prompt', generating: 'generating',
  inspecting: 'asking the routers', done: 'done', stopped: 'stopped', failed: 'failed',
};

/** With how much is done. Only a prompt is stopped in its midst. */
function statusOf({ status, progress }: RunView): string {
  if (progress === null) return statusTexts[status];
  return status === 'stopped' ? `stopped at ${formatPercent(progress)} of the prompt` : `${statusTexts[status]}, ${formatPercent(progress)}`;
}

export function RunPanel({ id, session, run, layer, differs }: Props) {
  // Runs change in place: this number changes with them, so that views are drawn again.
  const revision = session.revision.value;
  /** The token that was chosen, by keys or a click, and the one under the pointer. */
  const chosen = useSignal<number | null>(null);
  const hovered = useSignal<number | null>(null);
  const { variant, started, failure, notes, status, progress } = run;
  const text = run.isOver ? run.text : '';
  return (
    <article class="run" aria-labelledby={`${id}-title`} aria-busy={!run.isOver} data-status={status}>
      <header class="run-head">
        <h2 id={`${id}-title`}>
          <code>{variant.attention}</code>
          {variant.eviction !== 'none' && (
            <>
              {' '}
              evicting by <code>{variant.eviction}</code>
            </>
          )}
          {variant.kvBudget !== undefined && ` within ${formatPercent(variant.kvBudget)} of the cache`}
        </h2>
        <p class={`status ${status}`}>{statusOf(run)}</p>
      </header>
      {progress !== null && !run.isOver && <progress class="phase" aria-label={statusTexts[status]} max={1} value={progress} />}
      {failure && (
        <p class="notice bad" role="alert">
          {failure.message}
        </p>
      )}
      {notes.map((note) => (
        <p key={note} class="notice">
          {note}
        </p>
      ))}
      {started && (
        <>
          <Meter run={run} revision={revision} />
          <TextView id={id} run={run} revision={revision} layer={layer} differs={differs} chosen={chosen} hovered={hovered} />
          <p class="visually-hidden" role="status">
            {run.isOver && run.cache && `${run.generated.length} tokens: ${text}`}
          </p>
          <TokenDetail run={run} revision={revision} token={hovered.value ?? chosen.value} example={Math.min(run.promptLength, run.known - 1)} />
          <h3>What is kept, by layer and position</h3>
          <ExpertMap id={id} run={run} revision={revision} chosen={chosen} hovered={hovered} />
          <Facts run={run} revision={revision} />
        </>
      )}
    </article>
  );
}

function Facts({ run }: { run: RunView; revision: number }) {
  const { speed, started, routing, cache } = run;
  const counted = cache?.expertCounts.reduce((sum, count) => sum + count, 0) ?? 0;
  const isRouted = started!.ratios.length > 1;
  return (
    <dl class="facts">
      <div>
        <dt>Tokens a second</dt>
        <dd>
          <strong>{formatSpeed(speed.decode)}</strong>
          <small>prompt {formatSpeed(speed.prefill)}</small>
        </dd>
      </div>
      {isRouted && (
        <div>
          <dt>Prefill and decode agree</dt>
          <dd>
            <strong>{routing ? formatPercent(routing.agreement) : run.isOver ? '–' : '…'}</strong>
            <small>{routing ? byLayer(routing.agreementByLayer) : run.isOver ? 'of whole runs alone' : 'told at the end'}</small>
          </dd>
        </div>
      )}
      {isRouted && counted > 0 && (
        <div>
          <dt>Shares of the experts</dt>
          <dd>
            <strong>{cache!.expertCounts.map((count) => Math.round((100 * count) / counted)).join(' : ')}</strong>
            <small>asked {started!.ratios.map((ratio) => Math.round(100 * ratio)).join(' : ')}</small>
          </dd>
        </div>
      )}
      <div>
        <dt>Backend</dt>
        <dd>
          <strong>{started!.backend}</strong>
          <small>
            {started!.backendDetail}, {started!.weights} weights
          </small>
        </dd>
      </div>
    </dl>
  );
}

/** Of many layers the least and the most. */
function byLayer(shares: readonly number[]): string {
  const percents = shares.map((share) => Math.round(100 * share));
  return percents.length <= 8 ? `by layer ${percents.join(', ')}` : `${Math.min(...percents)} to ${Math.max(...percents)} % by layer`;
}
