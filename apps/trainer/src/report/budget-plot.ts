import { count, number, percent } from './format';
import { frontierPlot } from './frontier-plot';
import { methodStyle } from './palette';
import { renderChart } from './render';
import type { Report } from './schema';
import { clusters, sideBySide } from './side-by-side';
import { type MethodSummary, summarise } from './summary';

const WIDTH = 480;
const HEIGHT = 360;
/** Room between marks of methods that cost the same, in pixels. */
const APART = 17;
/** From this ratio of highest to lowest on, the perplexity axis is logarithmic. */
const LOG_FROM = 3;

/** Perplexity against KV bytes per token: lines where methods are of series, and else for each method a filled mark (decode) and a hollow one (prefill). */
export function budgetPlot(report: Report): Promise<string> {
  const methods = summarise(report);
  if (methods.some(({ series }) => series !== null)) return frontierPlot(methods);
  const seeds = Math.max(...methods.map((method) => method.seeds.length));
  const widest = 1.15 * Math.max(...methods.map((method) => method.kvBytesPerToken));
  const offsets = sideBySide(methods.map((method) => method.kvBytesPerToken), methods.map((method) => method.perplexity.decode.mean), (APART * widest) / WIDTH);
  const rows = methods.flatMap((method, i) =>
    (['decode', 'prefill'] as const)
      // A method that does not route has one number.
      .filter((routing) => routing === 'decode' || method.realisedRatios !== null)
      .map((routing) => ({
        method: legendLabel(method),
        x: method.kvBytesPerToken + offsets[i]!,
        routing,
        ...method.perplexity[routing],
      })),
  );
  const pairs = methods.map((method, i) => ({
    x: method.kvBytesPerToken + offsets[i]!,
    from: method.perplexity.decode.mean,
    to: method.perplexity.prefill.mean,
    method: legendLabel(method),
  }));
  const [low, high] = [Math.min(...rows.map((row) => row.min)), Math.max(...rows.map((row) => row.max))];
  const pad = high / low > LOG_FROM ? low * 0.1 : Math.max((high - low) * 0.08, high * 0.002);
  const sorted = methods
    .map((method, i) => ({ method, style: methodStyle(i) }))
    .toSorted((a, b) => a.method.perplexity.decode.mean - b.method.perplexity.decode.mean);
  const names = sorted.map(({ method }) => legendLabel(method));
  const legend = { title: 'perplexity, decode routing', symbolOpacity: 1, symbolSize: 110 };
  const color = {
    field: 'method',
    type: 'nominal' as const,
    scale: { domain: names, range: sorted.map(({ style }) => style.colour) },
    legend,
  };
  const shape = { field: 'method', type: 'nominal' as const, scale: { domain: names, range: sorted.map(({ style }) => style.shape) }, legend };
  const scaleType = high / low > LOG_FROM ? { type: 'log' as const } : { type: 'linear' as const, zero: false };
  const ticks = ticksOf(methods);
  const x = {
    field: 'x',
    type: 'quantitative' as const,
    scale: { domain: [0, widest], nice: false },
    axis: {
      title: 'KV cache, bytes per token (methods of equal cost stand side by side)',
      values: ticks.map((tick) => tick.bytes),
      labelExpr: ticks.reduceRight((rest, { bytes, label }) => `datum.value === ${bytes} ? ${JSON.stringify(label)} : ${rest}`, `''`),
      grid: false,
    },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    scale: { ...scaleType, domain: [low - pad, high + pad], nice: false },
    axis: { title: 'validation perplexity (lower is better)', tickCount: 6 },
  });
  return renderChart({
    width: WIDTH,
    height: HEIGHT,
    title: {
      text: 'Perplexity against KV cache',
      subtitle: [
        'filled: decode routing, as in generation; hollow: prefill routing, not strictly autoregressive',
        ...(seeds > 1 ? [`mean of ${seeds} seeds; bars: lowest and highest`] : []),
      ],
    },
    layer: [
      { data: { values: pairs }, mark: { type: 'rule', strokeWidth: 1, opacity: 0.35 }, encoding: { x, y: y('from'), y2: { field: 'to' }, color } },
      ...(seeds > 1
        ? [{ data: { values: rows }, mark: { type: 'errorbar' as const, ticks: { width: 7 }, rule: true }, encoding: { x, y: { ...y('min'), title: null }, y2: { field: 'max' }, color } }]
        : []),
      {
        data: { values: rows },
        mark: { type: 'point', size: 110, strokeWidth: 2, opacity: 1, fillOpacity: 1 },
        encoding: {
          x,
          y: y('mean'),
          color,
          shape,
          fill: { condition: { test: "datum.routing === 'decode'", ...color }, value: '#ffffff' },
        },
      },
    ],
  });
}

function legendLabel(method: MethodSummary): string {
  return `${method.name}: ${number(method.perplexity.decode.mean)}`;
}

function ticksOf(methods: readonly MethodSummary[]): { bytes: number; label: string }[] {
  const costs = clusters(methods.map((method) => method.kvBytesPerToken)).map(([first]) => methods[first!]!);
  return [{ bytes: 0, label: '0' }, ...costs.map(({ kvBytesPerToken, kvBudget }) => ({ bytes: kvBytesPerToken, label: `${count(kvBytesPerToken)} (${percent(kvBudget)})` }))];
}
