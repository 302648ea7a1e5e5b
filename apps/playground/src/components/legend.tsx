import type { Session } from '../session';
import { formatPercent, keptHeads } from '../state/format';
import { expertTone } from '../state/palette';
import { theme } from './theme';

/** What marks and colours mean, in words. */
export function Legend({ session }: { session: Session }) {
  void session.revision.value;
  const sizes = session.runs.value.map(({ groupSizes }) => groupSizes).reduce((most, each) => (each.length > most.length ? each : most), [1]);
  const model = session.model.value;
  const kvHeads = model.status === 'ready' ? model.facts.kvHeads : 1;
  if (sizes.length < 2 || model.status !== 'ready') return null;
  return (
    <ul class="legend" aria-label="What the marks mean">
      {sizes.map((size, expert) => (
        <li key={expert}>
          <span class="token sample" style={{ '--tone': expertTone(expert, sizes.length, theme.value), '--fill': `${100 / size}%` }}>
            token
          </span>
          <span>
            keeps {keptHeads(size, kvHeads)}
            {size > 1 && `: ${formatPercent(1 / size)}${expert === 1 ? ' of the memory' : ''}`}
          </span>
        </li>
      ))}
    </ul>
  );
}
