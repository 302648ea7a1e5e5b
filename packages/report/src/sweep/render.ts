import type { MetricSpread, SettingResult, SweepReport } from '@mixsga/training';

import { count, duration, metricText, percent } from '../format';
import { renderChart } from '../plots/render';
import { alignedRows, markdownRows } from '../rows';

/** File name of the plot, beside the report. */
export const PLOT = 'sweep.svg';

/** The settings as rows of text, a heading row first: the metric that counts in the first column of numbers. */
function tableRows({ keys, settings, metric }: SweepReport): string[][] {
  const names = [...new Set([metric, ...settings.flatMap(({ metrics }) => Object.keys(metrics))])]
    // The error of a share over the items; the seeds' spread stands beside each mean.
    .filter((name) => !name.endsWith('_stderr'));
  const rows = settings.map(({ settings, parameters, kvBudget, kvBytesPerToken, metrics }) => [
    ...keys.map((key) => settings[key]!),
    count(parameters),
    percent(kvBudget),
    count(kvBytesPerToken),
    ...names.map((name) => (metrics[name] ? metricText(metrics[name]) : '–')),
  ]);
  return [[...keys, 'parameters', 'KV cache', 'bytes/token', ...names], ...rows];
}

/** The table for the terminal. */
export function sweepTable(report: SweepReport): string {
  return alignedRows(tableRows(report), report.keys.length);
}

/** The same as a Markdown table. */
export function sweepMarkdownTable(report: SweepReport): string {
  return markdownRows(tableRows(report), report.keys.length);
}

/** Which setting is best, in a line. */
export function bestLine({ best, settings, metric, higherIsBetter, runs }: SweepReport): string {
  if (best === null) {
    const known = [...new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)))];
    return `No run has the metric ${metric}; they have ${known.join(', ')}.`;
  }
  const spread = settings[best]!.metrics[metric]!;
  const overlapping = settings.filter(({ metrics }, i) => i !== best && metrics[metric] && overlap(metrics[metric], spread)).length;
  const note = overlapping > 0 ? `; the seeds' ranges of ${overlapping} other${overlapping > 1 ? 's' : ''} overlap with it` : '';
  return `${higherIsBetter ? 'Highest' : 'Lowest'} ${metric}: ${metricText(spread)} with ${settingText(settings[best]!)}${note}.`;
}

/** sweep.md. */
export function sweepMarkdown(report: SweepReport): string {
  const seeds = [...new Set(report.runs.map(({ seed }) => seed))];
  const tokens = [...new Set(report.runs.map((run) => count(run.tokens)))];
  const sections = [
    '# Sweep',
    bestLine(report),
    sweepMarkdownTable(report),
    ...(seeds.length > 1 ? [`Means of ${seeds.length} seeds (${seeds.join(', ')}), in brackets the lowest and the highest.`] : []),
    ...(report.best === null ? [] : [`![${report.metric} by setting](${PLOT})`]),
    `${report.runs.length} runs of ${tokens.join(' or ')} tokens; corpus: ${report.corpus}; backend: ${report.backend}; time: ${duration(report.seconds)}. ` +
      'Perplexity is windowed token perplexity of the validation text under decode routing. All numbers: sweep.json.',
  ];
  return `${sections.join('\n\n')}\n`;
}

/** The metric of every setting, best first; null where no setting has it. */
export async function sweepPlot({ settings, metric, higherIsBetter, best }: SweepReport): Promise<string | null> {
  if (best === null) return null;
  const rows = settings
    .flatMap((setting) => (setting.metrics[metric] ? [{ setting: settingText(setting), ...setting.metrics[metric] }] : []))
    .toSorted((a, b) => (a.mean - b.mean) * (higherIsBetter ? -1 : 1));
  const y = { field: 'setting', type: 'nominal' as const, sort: rows.map(({ setting }) => setting), axis: { title: null, labelLimit: 400 } };
  const x = (field: string) => ({ field, type: 'quantitative' as const, scale: { zero: false }, title: `${metric} (${higherIsBetter ? 'higher' : 'lower'} is better)` });
  const seeds = Math.max(...rows.map((row) => row.seeds));
  return renderChart({
    width: 420,
    height: { step: 26 },
    data: { values: rows },
    title: { text: metric, subtitle: seeds > 1 ? `mean of ${seeds} seeds; bars: lowest and highest` : 'one seed' },
    layer: [
      ...(seeds > 1 ? [{ mark: { type: 'rule' as const, strokeWidth: 2, color: '#0072B2', opacity: 0.5 }, encoding: { y, x: x('min'), x2: { field: 'max' } } }] : []),
      { mark: { type: 'point', filled: true, size: 90, color: '#0072B2', opacity: 1 }, encoding: { y, x: x('mean') } },
    ],
  });
}

function settingText({ settings }: SettingResult): string {
  const entries = Object.entries(settings);
  return entries.length === 0 ? 'the base configuration' : entries.map(([key, value]) => `${key.slice(key.lastIndexOf('.') + 1)} ${value}`).join(', ');
}

function overlap(a: MetricSpread, b: MetricSpread): boolean {
  return a.min <= b.max && b.min <= a.max;
}
