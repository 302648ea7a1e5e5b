import { ArgumentError } from '@mixsga/backend';
import { type CacheSpec, parseCacheSpec } from '@mixsga/kv-cache';

import { evictionPlot, type EvictionPoint } from '../plots/eviction-plot';
import { metricText } from '../format';
import { importanceStrip } from '../plots/importance-strip';
import { metricPlot, type MetricPoint } from '../plots/metric-plot';
import { type MethodStyle, methodStyle, Palette } from '../plots/palette';
import { retrievalPlot } from '../plots/retrieval-plot';
import { routingPlot, tokenExpertsPlot } from '../plots/routing-plot';
import { importanceOf, type Measurement, modelLabel, retrievalOf, routingOf } from './measurement';

/** A picture of a report. */
export interface Plot {
  /** Of its file, without `.svg`; may be that of another. */
  readonly name: string;
  /** What it shows. */
  readonly caption: string;
  readonly svg: string;
}

/** How a model's results are drawn: in one colour, several of them told apart by shape and dash. */
type StyleOf = (measurement: Measurement, variant: number) => MethodStyle;

/** Every picture that the measurements allow. */
export async function plotsOf(measurements: readonly Measurement[]): Promise<{ metrics: Plot[]; routing: Plot[]; importance: Plot[]; retrieval: Plot[]; eviction: Plot[] }> {
  const models = [...new Set(measurements.map(modelLabel))];
  const places = new Palette().placesOf(models);
  const styleOf: StyleOf = (measurement, variant) => methodStyle(places[models.indexOf(modelLabel(measurement))]!, variant);
  const metrics: Plot[] = [];
  for (const task of new Set(measurements.map((measurement) => measurement.task))) {
    const plot = await budgetPlotOf(task, measurements.filter((measurement) => measurement.task === task), styleOf);
    if (plot) metrics.push(plot);
  }
  const routing: Plot[] = [];
  const importance: Plot[] = [];
  const retrieval: Plot[] = [];
  for (const measurement of measurements) {
    const label = modelLabel(measurement);
    const details = routingOf(measurement);
    if (details) {
      routing.push({ name: `routing-${label}`, caption: `Share of the tokens that each expert gets, ${label}`, svg: await routingPlot(label, details) });
      if (details.byToken.length > 0) {
        routing.push({ name: `tokens-${label}`, caption: `Experts of the most frequent tokens, ${label}`, svg: await tokenExpertsPlot(label, details) });
      }
    }
    for (const window of importanceOf(measurement)) {
      importance.push({ name: `importance-${label}`, caption: `Importance of each token, ${label}`, svg: importanceStrip(label, window) });
    }
  }
  for (const measurement of measurements) {
    const label = [modelLabel(measurement), measurement.eviction, measurement.byteBudget].filter((part) => part !== null).join(', ');
    const svg = await retrievalPlot(label, retrievalOf(measurement));
    if (svg !== null) retrieval.push({ name: `${measurement.task}-${label}`, caption: `${measurement.task} by length and depth, ${label}`, svg });
  }
  const eviction = await evictionPlotOf(measurements, styleOf);
  return { metrics, routing, importance, retrieval, eviction: eviction ? [eviction] : [] };
}

/** The metric that a task is shown by: accuracy by length where there is one, else its first. */
export function mainMetric({ metrics }: Measurement): string {
  return 'acc_norm' in metrics ? 'acc_norm' : Object.keys(metrics)[0]!;
}

async function budgetPlotOf(task: string, measurements: readonly Measurement[], styleOf: StyleOf): Promise<Plot | null> {
  // What a cache costs is the other axis.
  const shown = measurements.filter(({ kvBytes, evaluator, eviction, byteBudget }) => (
    kvBytes !== null && evaluator !== 'kv_accounting' && eviction === null && byteBudget === null
  ));
  const metric = shown[0] && mainMetric(shown[0]);
  const points = shown.flatMap((measurement, i): MetricPoint[] => {
    const { value = null, stderr = null } = measurement.metrics[metric!] ?? {};
    if (value === null) return [];
    const label = `${modelLabel(measurement)}${routingSuffix(measurement, shown)}: ${metricText({ mean: value, min: value, max: value })}`;
    const before = shown.slice(0, i).filter((other) => modelLabel(other) === modelLabel(measurement)).length;
    return [{ label, bytes: measurement.kvBytes!, value, stderr, style: styleOf(measurement, before) }];
  });
  if (points.length < 2) return null;
  const full = new Set(shown.map(({ kvBytesFull }) => kvBytesFull!));
  const higher = shown[0]!.higherIsBetter[metric!] ?? false;
  return { name: `${task}-kv`, caption: `${task}: ${metric} against the KV cache`, svg: await metricPlot(task, metric!, higher, full.size === 1 ? [...full][0]! : null, points) };
}

/** The routing, where the same model stands under both. */
function routingSuffix({ routing }: Measurement, among: readonly Measurement[]): string {
  return routing !== null && new Set(among.map((other) => other.routing)).size > 1 ? `, ${routing}` : '';
}

/** Perplexity of the same text under several keep ratios. */
async function evictionPlotOf(measurements: readonly Measurement[], styleOf: StyleOf): Promise<Plot | null> {
  const perplexities = measurements.filter(({ evaluator, routing }) => evaluator === 'perplexity' && routing === 'decode');
  const policies: string[] = [];
  const points = perplexities.flatMap((measurement): EvictionPoint[] => {
    const evicted = measurement.eviction === null ? null : policyOf(measurement);
    if (evicted === null) return [];
    const { policy, keep } = evicted;
    if (!policies.includes(policy)) policies.push(policy);
    const style = styleOf(measurement, policies.indexOf(policy));
    return [{ label: `${modelLabel(measurement)}, ${policy}`, keep, perplexity: measurement.metrics.perplexity!.value!, style }];
  });
  if (points.length < 2) return null;
  const labels = [...new Set(points.map(({ label }) => label))];
  const whole = perplexities.flatMap((measurement): EvictionPoint[] => {
    if ((measurement.eviction !== null && measurement.eviction !== 'none') || measurement.byteBudget !== null) return [];
    const own = labels.filter((label) => label.startsWith(`${modelLabel(measurement)}, `));
    return own.map((label) => ({ label, keep: 1, perplexity: measurement.metrics.perplexity!.value!, style: points.find((point) => point.label === label)!.style }));
  });
  return { name: 'eviction', caption: 'Perplexity against the share of tokens that is kept', svg: await evictionPlot([...points, ...whole]) };
}

/** `h2o:0.6` as a policy and the share of the tokens that it keeps; null where there is none. */
function policyOf({ eviction }: Measurement): { policy: string; keep: number } | null {
  let spec: CacheSpec | null;
  try {
    spec = parseCacheSpec(eviction!);
  } catch (error) {
    if (ArgumentError.isInstance(error)) return null; // of another version
    throw error;
  }
  const { tokens } = spec?.limit ?? {};
  return tokens === undefined ? null : { policy: spec!.policy as string, keep: tokens };
}
