import { methodStyle } from './palette';
import { renderChart } from './render';
import { sideBySide } from './side-by-side';

const WIDTH = 420;
const HEIGHT = 300;
/** Room between marks of results that cost the same, in pixels. */
const APART = 17;

/** A number of a model, at what its cache costs. */
export interface MetricPoint {
  readonly label: string;
  /** Share of the unmodified KV cache. */
  readonly kvBudget: number;
  readonly value: number;
  /** Standard error; null where there is none. */
  readonly stderr: number | null;
}

/** A metric against the KV budget: a mark for each result, with its standard error. */
export function metricPlot(title: string, metric: string, higherIsBetter: boolean, points: readonly MetricPoint[]): Promise<string> {
  const best = points.toSorted((a, b) => (a.value - b.value) * (higherIsBetter ? -1 : 1));
  const labels = best.map(({ label }) => label);
  const styles = best.map((point) => methodStyle(points.indexOf(point)));
  const widest = 1.08 * Math.max(1, ...points.map(({ kvBudget }) => kvBudget));
  const shifts = sideBySide(points.map(({ kvBudget }) => kvBudget), points.map((point) => best.indexOf(point)), (APART * widest) / WIDTH);
  const rows = points.map((point, i) => ({ ...point, x: point.kvBudget + shifts[i]!, low: point.value - (point.stderr ?? 0), high: point.value + (point.stderr ?? 0) }));
  const errors = rows.some(({ stderr }) => stderr !== null);
  const span = Math.max(...rows.map(({ high }) => high)) - Math.min(...rows.map(({ low }) => low));
  const pad = span * 0.08 || Math.abs(rows[0]!.value) * 0.02 || 1;
  const domain = [Math.min(...rows.map(({ low }) => low)) - pad, Math.max(...rows.map(({ high }) => high)) + pad];
  const legend = { title: `${metric}, best first`, symbolSize: 110 };
  const scale = { domain: labels };
  const x = {
    field: 'x',
    type: 'quantitative' as const,
    scale: { domain: [0, widest], nice: false },
    axis: { title: 'KV cache, share of the unmodified one (equal costs side by side)', format: '.0%', values: [0, 0.25, 0.5, 0.75, 1] },
  };
  const y = (field: string) => ({
    field,
    type: 'quantitative' as const,
    scale: { domain, nice: false, zero: false },
    axis: { title: `${metric} (${higherIsBetter ? 'higher' : 'lower'} is better)`, tickCount: 6 },
  });
  const color = { field: 'label', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ colour }) => colour) }, legend };
  const shape = { field: 'label', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ shape }) => shape) }, legend };
  return renderChart({
    width: WIDTH,
    height: HEIGHT,
    title: { text: title, ...(errors && { subtitle: 'bars: one standard error up and down' }) },
    data: { values: rows },
    layer: [
      ...(errors ? [{ mark: { type: 'rule' as const, strokeWidth: 2, opacity: 0.6 }, encoding: { x, y: y('low'), y2: { field: 'high' }, color } }] : []),
      { mark: { type: 'point', filled: true, size: 110, opacity: 1 }, encoding: { x, y: y('value'), color, shape } },
    ],
  });
}
