/** From this ratio of highest to lowest on, the axis is logarithmic. */
const LOG_FROM = 3;

/** The axis of perplexities, which is logarithmic where they are far apart. */
export interface PerplexityAxis {
  /** The channel of a Vega-Lite chart whose rows have their perplexity in `field`. */
  channel(field: string): object & { field: string };
  /** Place below the top of the plot, in pixels. */
  pixel(perplexity: number): number;
}

/** @param height of the plot, in pixels */
export function perplexityAxis(perplexities: readonly number[], height: number): PerplexityAxis {
  const [low, high] = [Math.min(...perplexities), Math.max(...perplexities)];
  const far = high / low > LOG_FROM;
  const pad = far ? low * 0.1 : Math.max((high - low) * 0.07, high * 0.002);
  const domain: [number, number] = [low - pad, high + pad];
  const place = (value: number) => (far ? Math.log(value / domain[0]) / Math.log(domain[1] / domain[0]) : (value - domain[0]) / (domain[1] - domain[0]));
  return {
    channel: (field) => ({
      field,
      type: 'quantitative' as const,
      scale: { ...(far ? { type: 'log' as const } : { type: 'linear' as const, zero: false }), domain, nice: false },
      axis: { title: 'validation perplexity (lower is better)', tickCount: 7 },
    }),
    pixel: (value) => height * (1 - place(value)),
  };
}
