import type { Session } from '../session';
import { keptHeads, visible } from '../state/format';
import { toneOf } from '../state/palette';
import { UNKNOWN, type RunView } from '../state/run-view';
import { theme } from './theme';

interface Props {
  readonly run: RunView;
  readonly revision: number;
  readonly session: Session;
  /** The token that was pointed at or moved to. */
  readonly token: number | null;
  /** The one that is shown while there is none; negative for none at all. */
  readonly example: number;
}

/** What each layer keeps of a token, and the scores of its router. */
export function TokenDetail({ run, session, token: asked, example }: Props) {
  const token = asked ?? example;
  const model = session.model.value;
  const experts = run.experts;
  if (token < 0 || token >= run.tokens.length || model.status !== 'ready') return null;
  const { kvHeads } = model.facts;
  const waiting = run.isOver ? '–' : '…';
  const kept = (expert: number) => (expert >= UNKNOWN ? 'not known' : keptHeads(run.groupSizes[expert]!, kvHeads));
  const where = token < run.promptLength ? 'of the prompt' : 'generated';
  return (
    <div class="detail">
      <p aria-live={asked === null ? 'off' : 'polite'}>
        <span class="detail-token">“{visible(run.tokens[token]!.text)}”</span> token {token + 1}, {where}
        {token >= run.known && '; it is not in the cache'}
        {asked === null && <span class="soft">. Point at another, or move there with the arrow keys.</span>}
      </p>
      {token < run.known && (
        <div class="scroll" tabIndex={0} role="group" aria-label="Layers of the token">
          <table>
            <thead>
              <tr>
                <th scope="col">Layer</th>
                <th scope="col">Keeps</th>
                {experts > 1 &&
                  run.groupSizes.slice(0, experts).map((size, expert) => (
                    <th scope="col" key={expert}>
                      {size === 1 ? 'all' : `1/${size}`}
                    </th>
                  ))}
              </tr>
            </thead>
            <tbody>
              {Array.from({ length: run.layers }, (_, layer) => {
                const expert = run.expert(layer, token);
                const scores = run.routing?.scores[layer]?.subarray(token * experts, (token + 1) * experts);
                return (
                  <tr key={layer}>
                    <th scope="row">{layer + 1}</th>
                    <td>
                      <span class="swatch" style={{ '--tone': toneOf(run, layer, token, theme.value), '--fill': fillOf(run, layer, token) }} />
                      {kept(expert)}
                      {run.isEvicted(layer, token) && ', evicted'}
                    </td>
                    {experts > 1 &&
                      run.groupSizes.slice(0, experts).map((_, each) => (
                        <td key={each} class={each === expert ? 'score own' : 'score'}>
                          {scores && scores.length > 0 ? (
                            <>
                              <span class="score-bar" style={{ '--score': `${100 * Math.min(1, Math.max(0, scores[each]!))}%` }} />
                              {scores[each]!.toFixed(2)}
                            </>
                          ) : (
                            waiting
                          )}
                        </td>
                      ))}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function fillOf(run: RunView, layer: number, token: number): string {
  return `${100 * (run.share(layer, token) ?? 0)}%`;
}
