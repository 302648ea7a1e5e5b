// A run as data, for others to read.
import type { ModelFacts } from '../protocol';
import type { RunView } from './run-view';
import type { Settings } from './settings';

/**
 * The runs as JSON: settings and model; for each run its tokens with their experts (by layer; null for one that was evicted before
 * it could be told), router scores (by layer, one for each expert), and the figures that the cache and the clock gave.
 */
export function exportRuns(settings: Settings, model: ModelFacts, runs: readonly RunView[]): string {
  return JSON.stringify(
    {
      format: 'mixsga-playground/1',
      settings,
      model,
      runs: runs.map((run) => ({
        ...run.variant,
        status: run.status,
        finish: run.finish,
        backend: run.started?.backend,
        backendDetail: run.started?.backendDetail,
        weights: run.started?.weights,
        groupSizes: run.groupSizes,
        promptTokens: run.promptLength,
        text: run.text,
        tokens: run.tokens.map(({ id, text }, token) => ({ id, text, ...decisionsOf(run, token) })),
        cache: run.cache,
        kvBytesPerToken: { mha: run.started?.mhaPerToken, gqa: run.started?.gqaPerToken },
        tokensPerSecond: run.speed,
        agreement: run.routing?.agreement ?? null,
        agreementByLayer: run.routing?.agreementByLayer ?? null,
        notes: run.notes,
      })),
    },
    null,
    1,
  );
}

function decisionsOf(run: RunView, token: number) {
  if (token >= run.known) return {};
  const layers = Array.from({ length: run.layers }, (_, layer) => layer);
  const { experts: length, groupSizes } = run;
  const experts = layers.map((layer) => {
    const expert = run.expert(layer, token);
    return expert < groupSizes.length ? expert : null;
  });
  const evicted = layers.filter((layer) => run.isEvicted(layer, token));
  const scores = run.routing?.scores.map((all) => Array.from(all.subarray(token * length, (token + 1) * length), (score) => Number(score.toFixed(4))));
  return { experts, ...(evicted.length > 0 ? { evictedFromLayers: evicted } : {}), ...(scores ? { scores } : {}) };
}
