import { formatPercent, visible } from '../state/format';
import { toneOf } from '../state/palette';
import type { RunView } from '../state/run-view';
import { theme } from './theme';

interface Props {
  readonly run: RunView;
  readonly revision: number;
  /** The token that was pointed at or moved to. */
  readonly token: number | null;
  /** The one that is shown while there is none; negative for none at all. */
  readonly example: number;
}

/** What each layer keeps of a token, and the scores of its router. */
export function TokenDetail({ run, token: asked, example }: Props) {
  const token = asked ?? example;
  const experts = run.experts;
  if (token < 0 || token >= run.tokens.length) return null;
  const waiting = run.isOver ? '–' : '…';
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
                  run.kept.slice(0, experts).map(({ share }, expert) => (
                    <th scope="col" key={expert}>
                      {share === 1 ? 'all' : formatPercent(share)}
                    </th>
                  ))}
              </tr>
            </thead>
            <tbody>
              {Array.from({ length: run.layers }, (_, layer) => {
                const expert = run.expert(layer, token);
                const scores = run.scores(layer, token);
                return (
                  <tr key={layer}>
                    <th scope="row">{layer + 1}</th>
                    <td>
                      <span class="swatch" style={{ '--tone': toneOf(run, layer, token, theme.value), '--fill': fillOf(run, layer, token) }} />
                      {run.keptText(layer, token)}
                    </td>
                    {experts > 1 &&
                      run.kept.slice(0, experts).map((_, each) => (
                        <td key={each} class={each === expert ? 'score own' : 'score'}>
                          {scores ? (
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
