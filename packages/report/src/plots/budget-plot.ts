import type { Report } from '@mixsga/training';

import { bytesAxis } from './bytes-axis';
import { dodge } from './dodge';
import { number } from '../format';
import { frontierPlot } from './frontier-plot';
import { type MethodStyle, stylesOf } from './palette';
import { perplexityAxis } from './perplexity-axis';
import { renderChart } from './render';
import { fullBytes, type MethodSummary, summarise } from '../summary';

const WIDTH = 480;
const HEIGHT = 360;
/** Area of a mark, and its width in pixels. */
const SIZE = 110;
const MARK = Math.sqrt(SIZE);

/**
 * Perplexity against the KV bytes that a token really takes: lines where methods are of series, and else for each method a filled mark (decode) and
 * a hollow one (prefill). Marks that cover one another stand side by side.
 */
export function budgetPlot(report: Report, styleOf: ReadonlyMap<string, MethodStyle> = stylesOf(summarise(report))): Promise<string> {
  const methods = summarise(report);
  if (methods.some(({ series }) => series !== null)) return frontierPlot(methods, styleOf);
  const seeds = Math.max(...methods.map((method) => method.seeds.length));
  const marks = methods.flatMap((method) =>
    (['decode', 'prefill'] as const)
      // A method that does not route has one number.
      .filter((routing) => routing === 'decode' || method.realisedRatios !== null)
      .map((routing) => ({ method: legendLabel(method), name: method.name, bytes: method.kvBytesUsed[routing], routing, ...method.perplexity[routing] })),
  );
  const axis = bytesAxis(marks.map(({ bytes }) => bytes), fullBytes(methods), WIDTH, 'with the expert index');
  const perplexities = perplexityAxis(marks.flatMap(({ min, max }) => [min, max]), HEIGHT);
  const decode = marks.filter(({ routing }) => routing === 'decode');
  const shifts = new Map(dodge(decode.map(({ bytes, mean }) => ({ x: axis.pixel(bytes), y: perplexities.pixel(mean) })), MARK).map((shift, i) => [decode[i]!.name, shift]));
  // Both marks of a method are shifted alike.
  const rows = marks.map((mark) => ({ ...mark, x: axis.shifted(mark.bytes, shifts.get(mark.name)!) }));
  const pairs = methods.flatMap(({ name }) => {
    const [from, to] = rows.filter((row) => row.name === name);
    return from && to ? [{ method: from.method, x: from.x, x2: to.x, from: from.mean, to: to.mean }] : [];
  });
  const sorted = methods
    .map((method) => ({ method, style: styleOf.get(method.name)! }))
    .toSorted((a, b) => a.method.perplexity.decode.mean - b.method.perplexity.decode.mean);
  const names = sorted.map(({ method }) => legendLabel(method));
  const legend = { title: 'perplexity, decode routing', symbolOpacity: 1, symbolSize: SIZE };
  const color = {
    field: 'method',
    type: 'nominal' as const,
    scale: { domain: names, range: sorted.map(({ style }) => style.colour) },
    legend,
  };
  const shape = { field: 'method', type: 'nominal' as const, scale: { domain: names, range: sorted.map(({ style }) => style.shape) }, legend };
  const x = axis.channel('x');
  const y = perplexities.channel;
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
      { data: { values: pairs }, mark: { type: 'rule', strokeWidth: 1, opacity: 0.35 }, encoding: { x, x2: { field: 'x2' }, y: y('from'), y2: { field: 'to' }, color } },
      ...(seeds > 1
        ? [{ data: { values: rows }, mark: { type: 'errorbar' as const, ticks: { width: 7 }, rule: true }, encoding: { x, y: { ...y('min'), title: null }, y2: { field: 'max' }, color } }]
        : []),
      {
        data: { values: rows },
        mark: { type: 'point', size: SIZE, strokeWidth: 2, opacity: 1, fillOpacity: 1 },
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
