import { budgetText, count } from './format';
import { methodStyle } from './palette';
import { renderChart } from './render';
import type { MethodSummary } from './summary';

const WIDTH = 560;
const HEIGHT = 400;
/** From this ratio of highest to lowest on, the perplexity axis is logarithmic. */
const LOG_FROM = 3;
/** The metric of a perplexity that was measured through a cache, after the name of its task. */
const BYTES = '.kv_bytes_per_token_cache';
/** What the validation at the end of a run measures. */
const WHOLE = 'all tokens, f32';
/** A whole line, then long, short and mixed dashes. */
const DASHES = [[1, 0], [8, 3], [2, 2], [8, 2, 2, 2]];
/** Marks of the x-axis, as shares of the unmodified cache. */
const BUDGETS = [0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1];

/**
 * Perplexity under decode routing against the KV bytes that a token really takes there: a line for each series, dashed what tasks measured of it through
 * a cache, over a logarithmic axis of bytes.
 */
export function frontierPlot(methods: readonly MethodSummary[]): Promise<string> {
  const trained = methods.map((method) => ({ series: method.series ?? method.name, cache: WHOLE, bytes: method.kvBytesUsed, ...method.perplexity.decode }));
  const rows = [...trained, ...methods.flatMap(throughCaches)];
  const series = [...new Set(rows.map((row) => row.series))];
  const caches = [...new Set(rows.map(({ cache }) => cache))];
  const styles = series.map((_, i) => methodStyle(i));
  const seeds = Math.max(...methods.map((method) => method.seeds.length));
  const bytes = rows.map((row) => row.bytes);
  // Of the unmodified model; an expert index only adds to it.
  const full = Math.min(...methods.map(({ kvBytesPerToken, kvBudget }) => kvBytesPerToken / kvBudget));
  const budgets = BUDGETS.filter((budget) => budget * full > 0.9 * Math.min(...bytes));
  const [low, high] = [Math.min(...rows.map((row) => row.min)), Math.max(...rows.map((row) => row.max))];
  const pad = high / low > LOG_FROM ? low * 0.1 : (high - low) * 0.06 || high * 0.01;
  const scale = { domain: series };
  const legend = { title: null, symbolSize: 110 };
  const color = { field: 'series', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ colour }) => colour) }, legend };
  const shape = { field: 'series', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ shape }) => shape) }, legend };
  const strokeDash = {
    field: 'cache',
    type: 'nominal' as const,
    scale: { domain: caches, range: caches.map((_, i) => DASHES[i % DASHES.length]!) },
    legend: caches.length > 1 ? { title: 'KV cache' } : null,
  };
  const x = {
    field: 'bytes',
    type: 'quantitative' as const,
    scale: { type: 'log' as const, base: 2, domain: [0.9 * Math.min(...bytes), 1.08 * Math.max(full, ...bytes)], nice: false },
    axis: {
      title: 'KV cache, bytes per token under decode routing with the expert index; share of the unmodified one',
      values: budgets.map((budget) => budget * full),
      labelExpr: budgets.reduceRight((rest, budget) => `datum.value === ${budget * full} ? ${JSON.stringify(tickText(budget, full))} : ${rest}`, `''`),
    },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    scale: { ...(high / low > LOG_FROM ? { type: 'log' as const } : { type: 'linear' as const, zero: false }), domain: [low - pad, high + pad], nice: false },
    axis: { title: 'validation perplexity (lower is better)', tickCount: 8 },
  });
  return renderChart({
    width: WIDTH,
    height: HEIGHT,
    title: {
      text: 'Perplexity against KV cache',
      subtitle: `decode routing, as in generation; ${seeds > 1 ? `mean of ${seeds} seeds; bars: lowest and highest` : 'one seed'}`,
    },
    data: { values: rows },
    layer: [
      { mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y: y('mean'), color, strokeDash } },
      ...(seeds > 1 ? [{ mark: { type: 'rule' as const, strokeWidth: 2 }, encoding: { x, y: y('min'), y2: { field: 'max' }, color } }] : []),
      {
        mark: { type: 'point', size: 70, strokeWidth: 2, opacity: 1, fillOpacity: 1 },
        encoding: { x, y: y('mean'), color, shape, fill: { condition: { test: `datum.cache === ${JSON.stringify(WHOLE)}`, ...color }, value: '#ffffff' } },
      },
    ],
  });
}

/** What tasks measured of a method whose tokens went through a cache; those whose names differ after ` at ` are one line. */
function throughCaches({ series, name, evaluations }: MethodSummary) {
  return Object.entries(evaluations).flatMap(([metric, { mean: bytes }]) => {
    if (!metric.endsWith(BYTES)) return [];
    const task = metric.slice(0, -BYTES.length);
    const perplexity = evaluations[`${task}.perplexity`];
    return perplexity ? [{ series: series ?? name, cache: task.replace(/ at .*/, ''), bytes, ...perplexity }] : [];
  });
}

/** Two lines: `3,072` and `50 %`. */
function tickText(budget: number, full: number): string[] {
  return [count(budget * full), budgetText(budget)];
}
