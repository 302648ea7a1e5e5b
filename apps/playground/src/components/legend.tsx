import type { Session } from '../session';
import { formatPercent } from '../state/format';
import { expertTone } from '../state/palette';
import type { RunView } from '../state/run-view';
import { theme } from './theme';

/** What marks and colours mean, in words: once where all runs keep the same, else for each. */
export function Legend({ session }: { session: Session }) {
  void session.revision.value;
  const runs = session.runs.value.filter(({ started }) => started);
  const differing = runs.filter((run, i) => runs.findIndex((other) => meaningOf(other) === meaningOf(run)) === i);
  return (
    <>
      {differing.map((run, i) => (
        <Marks key={i} run={run} name={differing.length > 1 ? run.variant.attention : null} />
      ))}
    </>
  );
}

/** @param name what tells the run from the others, if anything */
function Marks({ run: { kept, variant }, name }: { run: RunView; name: string | null }) {
  const firstLess = kept.findIndex(({ share }) => share < 1);
  return (
    <ul class="legend" aria-label={`What the marks mean${name === null ? '' : `, of ${name}`}`}>
      {name !== null && (
        <li>
          <code>{name}</code>
        </li>
      )}
      {kept.map(({ share, text }, expert) => (
        <li key={expert}>
          <span class="token sample" style={{ '--tone': expertTone(expert, kept.length, theme.value), '--fill': `${100 * share}%` }}>
            token
          </span>
          <span>
            keeps {text}
            {share < 1 && `: ${formatPercent(share)}${expert === firstLess ? ' of the memory' : ''}`}
          </span>
        </li>
      ))}
      {variant.eviction !== 'none' && (
        <li>
          <span class="token sample evicted">token</span>
          <span>keeps nothing: evicted</span>
        </li>
      )}
    </ul>
  );
}

function meaningOf({ kept, variant }: RunView): string {
  return JSON.stringify([kept, variant.eviction !== 'none']);
}
