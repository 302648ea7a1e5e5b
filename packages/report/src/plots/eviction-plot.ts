import type { MethodStyle } from './palette';
import { renderChart } from './render';

/** Perplexity of a model whose cache keeps a share of the tokens. */
export interface EvictionPoint {
  /** Model and policy. */
  readonly label: string;
  /** Share of the tokens that is kept; 1 without eviction. */
  readonly keep: number;
  readonly perplexity: number;
  /** The same for all points of a label. */
  readonly style: MethodStyle;
}

/** Perplexity against the keep ratio, a line for each model and policy. */
export function evictionPlot(points: readonly EvictionPoint[]): Promise<string> {
  const labels = [...new Set(points.map(({ label }) => label))];
  const styles = labels.map((label) => points.find((point) => point.label === label)!.style);
  const scale = { domain: labels };
  const legend = { title: null, symbolSize: 110 };
  const x = {
    field: 'keep',
    type: 'quantitative' as const,
    scale: { domain: [0, 1.03], nice: false },
    axis: { title: 'share of the tokens that the KV cache keeps', format: '.0%', values: [0, 0.2, 0.4, 0.6, 0.8, 1] },
  };
  const y = { field: 'perplexity', type: 'quantitative' as const, scale: { zero: false, nice: true }, axis: { title: 'perplexity (lower is better)', tickCount: 6 } };
  const color = { field: 'label', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ colour }) => colour) }, legend };
  const shape = { field: 'label', type: 'nominal' as const, scale: { ...scale, range: styles.map(({ shape }) => shape) }, legend };
  return renderChart({
    width: 420,
    height: 300,
    title: { text: 'Perplexity under eviction', subtitle: 'decode routing, token by token through the KV cache' },
    data: { values: points.map(({ label, keep, perplexity }) => ({ label, keep, perplexity })) },
    layer: [
      { mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y, color } },
      { mark: { type: 'point', filled: true, size: 90, opacity: 1 }, encoding: { x, y, color, shape } },
    ],
  });
}
