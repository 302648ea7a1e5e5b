import { useSignal } from '@preact/signals';
import type { Session } from '../session';
import { difference } from '../state/difference';
import { formatPercent } from '../state/format';
import { ExportMenu } from './export-menu';
import { RunPanel } from './run-panel';

/** Pairs of tokens up to which texts are compared in every frame; longer ones are when both are whole. */
const LIVE_PAIRS = 200_000;

/** The runs side by side. */
export function Runs({ session }: { session: Session }) {
  const revision = session.revision.value;
  const runs = session.runs.value;
  /** The layer whose experts colour the text; null for the mean over layers. */
  const layer = useSignal<number | null>(0);
  const layers = Math.max(1, ...runs.map((run) => run.layers));
  const [first, second] = runs;
  const isTold = first && second && second.cache && (second.isOver || first.tokens.length * second.tokens.length < LIVE_PAIRS);
  const compared = isTold ? difference(first.generated, second.generated) : null;
  const shown = layer.value === null ? null : Math.min(layer.value, layers - 1);
  if (runs.length === 0) {
    return <p class="empty">{session.model.value.status === 'ready' ? 'Press Generate.' : 'The text and its memory will be here.'}</p>;
  }
  return (
    <section aria-label="Runs">
      <div class="runs-head">
        <label for="layer">Marks show</label>
        <select id="layer" value={shown ?? ''} onChange={(event) => (layer.value = event.currentTarget.value === '' ? null : Number(event.currentTarget.value))}>
          <option value="">the mean over layers</option>
          {Array.from({ length: layers }, (_, each) => (
            <option key={each} value={each}>
              layer {each + 1}
            </option>
          ))}
        </select>
        <ExportMenu session={session} revision={revision} layer={shown} />
      </div>
      {compared && <Comparison common={compared.common} left={compared.left} right={compared.right} />}
      <div class={`runs of-${runs.length}`}>
        {runs.map((run, i) => (
          <RunPanel key={i} id={`run-${i}`} session={session} run={run} layer={shown} differs={compared && (i === 0 ? compared.left : compared.right)} />
        ))}
      </div>
    </section>
  );
}

function Comparison({ common, left, right }: { common: number; left: readonly boolean[]; right: readonly boolean[] }) {
  const differing = right.filter((differs) => differs).length;
  if (differing === 0 && left.length === right.length) return <p class="comparison">Both texts are the same, token for token.</p>;
  return (
    <p class="comparison">
      {common === 0 ? 'The texts part at the first token' : `The texts part after ${common} tokens`}. Of the right one {differing} of {right.length} tokens (
      {formatPercent(differing / Math.max(1, right.length))}) are not in the left one; tokens that only one text has have a{' '}
      <span class="differs">line above</span>.
    </p>
  );
}
