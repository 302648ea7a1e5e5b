import { evaluatorNames } from '@mixsga/evaluators';

import { percent } from '../format';
import { markdownRows } from '../rows';
import { type Measurement, type Metric, modelLabel } from './measurement';
import { mainMetric } from './plots';

/** KV budgets nearer than this count as equal. */
const SAME_BUDGET = 0.005;

/** A table for each task: its models by its metrics, the best value of the main metric bold. */
export function taskTables(measurements: readonly Measurement[]): string[] {
  const catalog = evaluatorNames();
  const place = new Map(measurements.map(({ task, evaluator }) => [task, catalog.indexOf(evaluator ?? task)]));
  const tasks = [...place.keys()].sort((a, b) => place.get(a)! - place.get(b)! || (a < b ? -1 : 1));
  return tasks.flatMap((task) => [`### ${task}`, taskTable(measurements.filter((measurement) => measurement.task === task))]);
}

function taskTable(rows: readonly Measurement[]): string {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  const columns = ([
    ['attention', ({ attention }) => attention],
    ['KV cache', ({ kvBudget, kvType }) => kvBudget && `${percent(kvBudget)}${kvType === 'int8' ? ' in int8' : ''}`],
    ['weights', ({ weights }) => weights],
    ['data', ({ data }) => data],
    ['routing', ({ routing }) => routing],
    ['eviction', ({ eviction }) => eviction],
    ['KV budget', ({ byteBudget }) => byteBudget],
    ['samples', ({ samples }) => samples?.toLocaleString('en') ?? null],
  ] as [string, (row: Measurement) => string | null][]).filter(([, value]) => rows.some((row) => value(row) !== null));
  const cells = rows.map((row) => [
    row.model,
    ...columns.map(([, value]) => value(row) ?? '–'),
    ...metrics.map((metric) => {
      const text = cellText(row.metrics[metric]);
      return isBest(row, metric, rows) ? `**${text}**` : text;
    }),
  ]);
  return markdownRows([['model', ...columns.map(([name]) => name), ...metrics], ...cells], 1 + columns.length);
}

/** The attention variants that cost the same, beside each other: a table for each KV budget that has two or more of them. */
export function equalBudgetTables(measurements: readonly Measurement[]): string[] {
  const known = measurements.filter(({ kvBudget, kvType, eviction, byteBudget, evaluator }) => kvBudget !== null && kvType !== 'int8' && eviction === null && byteBudget === null && evaluator !== 'kv_accounting');
  const budgets: number[] = [];
  for (const { kvBudget } of known) if (!budgets.some((budget) => Math.abs(budget - kvBudget!) < SAME_BUDGET)) budgets.push(kvBudget!);
  return budgets
    .sort((a, b) => b - a)
    .flatMap((budget) => {
      const equal = known.filter(({ kvBudget }) => Math.abs(kvBudget! - budget) < SAME_BUDGET);
      const labels = [...new Set(equal.map(modelLabel))];
      if (new Set(equal.map(({ attention }) => attention)).size < 2) return [];
      const settings = new Map(equal.map((row) => [settingOf(row), row]));
      const rows = [...settings].map(([setting, { task, data, routing }]) => {
        const own = equal.filter((row) => settingOf(row) === setting);
        const metric = mainMetric(own[0]!);
        const cells = labels.map((label) => {
          const row = own.find((candidate) => modelLabel(candidate) === label);
          const text = cellText(row?.metrics[metric]);
          return row && isBest(row, metric, own) ? `**${text}**` : text;
        });
        return [`${task}: ${metric}`, data ?? '–', routing ?? '–', ...cells];
      });
      return [`### ${percent(budget)} of the KV cache`, markdownRows([['metric', 'data', 'routing', ...labels], ...rows], 3)];
    });
}

/** What has to be the same for two numbers to compare. */
function settingOf({ task, data, routing, samples }: Measurement): string {
  return JSON.stringify([task, data, routing, samples]);
}

/** Whether a row has the best value of its task's main metric among two or more that compare with it. */
function isBest(row: Measurement, metric: string, rows: readonly Measurement[]): boolean {
  if (metric !== mainMetric(row)) return false;
  const value = row.metrics[metric]?.value ?? null;
  const higher = row.higherIsBetter[metric];
  const others = rows.filter((other) => other !== row && settingOf(other) === settingOf(row)).flatMap((other) => other.metrics[metric]?.value ?? []);
  if (value === null || higher === undefined || others.length === 0) return false;
  const best = higher ? Math.max(...others) : Math.min(...others);
  return higher ? value > best : value < best;
}

/** `0.3120 ± 0.0046` */
function cellText(metric: Metric | undefined): string {
  if (!metric || metric.value === null) return '–';
  return metric.stderr === null ? digits(metric.value) : `${digits(metric.value)} ± ${digits(metric.stderr)}`;
}

function digits(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) < 10 ? 4 : 2);
}
