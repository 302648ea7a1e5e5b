// A run as data, for others to read.
import type { RunView } from './run-view';

/**
 * The runs of one start as JSON: the settings and the model that they had; for each run what an expert keeps of a token (`kept`), its tokens
 * with their experts (by layer; null for one that was evicted before its expert was read), router scores (by layer, one for each expert), and
 * the figures that the cache and the clock gave.
 */
export function exportRuns(runs: readonly RunView[]): string {
  const { settings, model } = runs[0]!.from;
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
        kept: run.kept,
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
  const experts = layers.map((layer) => {
    const expert = run.expert(layer, token);
    return expert < run.kept.length ? expert : null;
  });
  const evicted = layers.filter((layer) => run.isEvicted(layer, token));
  const scores = run.routing && layers.map((layer) => Array.from(run.scores(layer, token) ?? [], (score) => Number(score.toFixed(4))));
  return { experts, ...(evicted.length > 0 ? { evictedFromLayers: evicted } : {}), ...(scores ? { scores } : {}) };
}
