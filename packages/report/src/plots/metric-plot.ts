import { bytesAxis } from './bytes-axis';
import { dodge } from './dodge';
import type { MethodStyle } from './palette';
import { renderChart } from './render';

const WIDTH = 420;
const HEIGHT = 300;
/** Area of a mark, and its width in pixels. */
const SIZE = 110;
const MARK = Math.sqrt(SIZE);

/** A number of a model, at what its cache costs. */
export interface MetricPoint {
  readonly label: string;
  /** KV cache per token. */
  readonly bytes: number;
  readonly value: number;
  /** Standard error; null where there is none. */
  readonly stderr: number | null;
  readonly style: MethodStyle;
}

/**
 * A metric against the bytes of the KV cache: a mark for each result, with its standard error.
 *
 * @param full bytes per token of the unmodified model; null where the points are of several
 */
export function metricPlot(title: string, metric: string, higherIsBetter: boolean, full: number | null, points: readonly MetricPoint[]): Promise<string> {
  const best = points.toSorted((a, b) => (a.value - b.value) * (higherIsBetter ? -1 : 1));
  const labels = best.map(({ label }) => label);
  const styles = best.map(({ style }) => style);
  const bounds = points.map(({ value, stderr }) => ({ low: value - (stderr ?? 0), high: value + (stderr ?? 0) }));
  const [lowest, highest] = [Math.min(...bounds.map(({ low }) => low)), Math.max(...bounds.map(({ high }) => high))];
  const pad = (highest - lowest) * 0.08 || Math.abs(lowest) * 0.02 || 1;
  const domain: [number, number] = [lowest - pad, highest + pad];
  const axis = bytesAxis(points.map(({ bytes }) => bytes), full, WIDTH, 'with the expert index');
  const places = points.map(({ bytes, value }) => ({ x: axis.pixel(bytes), y: (HEIGHT * (domain[1] - value)) / (domain[1] - domain[0]) }));
  const shifts = dodge(places, MARK);
  const rows = points.map(({ label, bytes, value, stderr }, i) => ({ label, value, stderr, x: axis.shifted(bytes, shifts[i]!), ...bounds[i]! }));
  const errors = rows.some(({ stderr }) => stderr !== null);
  const legend = { title: `${metric}, best first`, symbolSize: SIZE };
  const scale = { domain: labels };
  const x = axis.channel('x');
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
      { mark: { type: 'point', filled: true, size: SIZE, opacity: 1 }, encoding: { x, y: y('value'), color, shape } },
    ],
  });
}
