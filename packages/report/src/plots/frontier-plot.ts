import { bytesAxis } from './bytes-axis';
import type { MethodStyle } from './palette';
import { perplexityAxis } from './perplexity-axis';
import { renderChart } from './render';
import { fullBytes, type MethodSummary } from '../summary';

const WIDTH = 560;
const HEIGHT = 400;
/** The metric of a perplexity that was measured through a cache, after the name of its task. */
const BYTES = '.kv_bytes_per_token_cache';
/** What the validation at the end of a run measures. */
const WHOLE = 'all tokens, f32';
/** A whole line, then long, short and mixed dashes. */
const DASHES = [[1, 0], [8, 3], [2, 2], [8, 2, 2, 2]];
/**
 * Perplexity under decode routing against the KV bytes that a token really takes there: a line for each series, dashed what tasks measured of it through
 * a cache, over a logarithmic axis of bytes.
 */
export function frontierPlot(methods: readonly MethodSummary[], styleOf: ReadonlyMap<string, MethodStyle>): Promise<string> {
  const trained = methods.map((method) => ({ series: method.series ?? method.name, cache: WHOLE, bytes: method.kvBytesUsed.decode, ...method.perplexity.decode }));
  const rows = [...trained, ...methods.flatMap(throughCaches)];
  const series = [...new Set(rows.map((row) => row.series))];
  const caches = [...new Set(rows.map(({ cache }) => cache))];
  const styles = series.map((name) => styleOf.get(name)!);
  const seeds = Math.max(...methods.map((method) => method.seeds.length));
  const axis = bytesAxis(rows.map((row) => row.bytes), fullBytes(methods), WIDTH);
  const perplexities = perplexityAxis(rows.flatMap(({ min, max }) => [min, max]), HEIGHT);
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
  const x = axis.channel('bytes');
  const y = perplexities.channel;
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
