import { spread } from '@mixsga/evaluators';
import type { TrainingCurve } from '@mixsga/training';

import { type Named, stylesOf } from './palette';
import { renderChart } from './render';

const WIDTH = 520;
const HEIGHT = 360;
/** Least distance between two labels, in pixels. */
const LINE = 16;

/**
 * Validation loss against tokens: a line for each method (its mean over seeds, the range shaded), its name at the end.
 *
 * @param methods in the order of the report, which fixes their colours
 */
export function curvesPlot(curves: readonly TrainingCurve[], methods: readonly Named[]): Promise<string> {
  const names = methods.map(({ name }) => name);
  const rows = names.flatMap((name) => pointsOf(name, curves));
  const seeds = Math.max(...names.map((name) => curves.filter((curve) => curve.name === name).length));
  const drawn = names.filter((name) => rows.some((row) => row.name === name));
  const [low, high] = [Math.min(...rows.map((row) => row.min)), Math.max(...rows.map((row) => row.max))];
  const pad = Math.max((high - low) * 0.05, 1e-3);
  const domain: [number, number] = [low - pad, high + pad];
  const lastTokens = Math.max(...rows.map((row) => row.tokens));
  const ends = drawn.map((name) => rows.filter((row) => row.name === name).at(-1)!);
  const labelPlaces = spreadLabels(ends.map((end) => end.mean), ((domain[1] - domain[0]) * LINE) / HEIGHT);
  const labels = ends.map((end, i) => ({ ...end, tokens: lastTokens, mean: labelPlaces[i]!, text: `${end.name}: ${end.mean.toFixed(3)}` }));
  const styleOf = stylesOf(methods);
  const styles = drawn.map((name) => styleOf.get(name)!);
  const color = { field: 'name', type: 'nominal' as const, scale: { domain: drawn, range: styles.map((style) => style.colour) }, legend: null };
  const strokeDash = { field: 'name', type: 'nominal' as const, scale: { domain: drawn, range: styles.map((style) => (style.dash.length ? style.dash : [1, 0])) }, legend: null };
  const shape = { field: 'name', type: 'nominal' as const, scale: { domain: drawn, range: styles.map((style) => style.shape) }, legend: null };
  const x = {
    field: 'tokens',
    type: 'quantitative' as const,
    scale: { domain: [0, lastTokens], nice: false },
    axis: { title: 'tokens trained on', format: '~s', tickCount: 6, grid: false },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    scale: { domain, zero: false, nice: false },
    axis: { title: 'validation loss, nats per token (lower is better)', tickCount: 6 },
  });
  return renderChart({
    width: WIDTH,
    height: HEIGHT,
    title: {
      text: 'Validation loss while training',
      subtitle: seeds > 1 ? `decode routing; mean of ${seeds} seeds, shaded from lowest to highest` : 'decode routing; one seed',
    },
    layer: [
      ...(seeds > 1
        ? [{ data: { values: rows }, mark: { type: 'area' as const, opacity: 0.15 }, encoding: { x, y: y('min'), y2: { field: 'max' }, color } }]
        : []),
      { data: { values: rows }, mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y: y('mean'), color, strokeDash } },
      {
        data: { values: labels },
        mark: { type: 'point', filled: true, size: 70, xOffset: 12, opacity: 1 },
        encoding: { x, y: y('mean'), color, shape },
      },
      {
        data: { values: labels },
        mark: { type: 'text', align: 'left', baseline: 'middle', dx: 22, fontSize: 12, color: '#222' },
        encoding: { x, y: y('mean'), text: { field: 'text' } },
      },
    ],
  });
}

function pointsOf(name: string, curves: readonly TrainingCurve[]) {
  const byTokens = new Map<number, number[]>();
  for (const { tokens, loss } of curves.filter((curve) => curve.name === name).flatMap((curve) => curve.points)) {
    byTokens.set(tokens, [...(byTokens.get(tokens) ?? []), loss]);
  }
  return [...byTokens].sort(([a], [b]) => a - b).map(([tokens, losses]) => ({ name, tokens, ...spread(losses) }));
}

/** Moves values apart, least moves first, until neighbours are `gap` from each other; the order stays. */
export function spreadLabels(values: readonly number[], gap: number): number[] {
  // Labels that touch form a block that stands on the mean of what its members ask for.
  const blocks: { members: number[]; centre: number }[] = [];
  for (const i of [...values.keys()].sort((a, b) => values[a]! - values[b]!)) {
    blocks.push({ members: [i], centre: values[i]! });
    for (let last = blocks.length - 1; last > 0; last--) {
      const [upper, lower] = [blocks[last]!, blocks[last - 1]!];
      if (upper.centre - lower.centre >= ((upper.members.length + lower.members.length) / 2) * gap) break;
      const members = [...lower.members, ...upper.members];
      blocks.splice(last - 1, 2, { members, centre: spread(members.map((m) => values[m]!)).mean });
    }
  }
  const result = new Array<number>(values.length);
  for (const { members, centre } of blocks) {
    members.forEach((member, place) => (result[member] = centre + (place - (members.length - 1) / 2) * gap));
  }
  return result;
}
