import type { Report } from '@mixsga/training';

import { budgetText, count, metricText, percent, perplexityText, ratioText } from './format';
import { alignedRows, markdownRows } from './rows';
import { summarise } from './summary';

const HEADINGS = [
  'method', 'KV cache', 'bytes/token', 'perplexity, decode', 'perplexity, prefill', 'agreement', 'ratios, decode', 'KV used, decode', 'bytes/token, decode',
];

/** The methods of a report as rows of text, a heading row first; a dash where a method does not route. */
function tableRows(report: Report): string[][] {
  const rows = summarise(report).map((method) => [
    method.name,
    budgetText(method.kvBudget),
    count(method.kvBytesPerToken),
    perplexityText(method.perplexity.decode),
    perplexityText(method.perplexity.prefill),
    method.agreement ? percent(method.agreement.mean) : '–',
    method.realisedRatios ? ratioText(method.realisedRatios.decode) : '–',
    method.realisedKvBudget ? percent(method.realisedKvBudget.decode, 1) : '–',
    count(method.kvBytesUsed.decode),
  ]);
  return [HEADINGS, ...rows];
}

/** The table of a report for the terminal. */
export function formatTable(report: Report): string {
  return alignedRows(tableRows(report));
}

/** The same as a Markdown table. */
export function markdownTable(report: Report): string {
  return markdownRows(tableRows(report));
}

/** What the tasks found as rows of text: a row for each method that had any, a column for each metric; null where there were no tasks. */
function evaluationRows(report: Report): string[][] | null {
  const methods = summarise(report).filter(({ evaluations }) => Object.keys(evaluations).length > 0);
  const names = [...new Set(methods.flatMap(({ evaluations }) => Object.keys(evaluations)))].filter((name) => !name.endsWith('_stderr'));
  if (names.length === 0) return null;
  const rows = methods.map(({ name, kvBudget, evaluations }) => [
    name,
    budgetText(kvBudget),
    ...names.map((metric) => (evaluations[metric] ? metricText(evaluations[metric]) : '–')),
  ]);
  return [['method', 'KV cache', ...names], ...rows];
}

/** The table of what the tasks found, for the terminal; null where there were none. */
export function formatEvaluations(report: Report): string | null {
  const rows = evaluationRows(report);
  return rows && alignedRows(rows);
}

/** The same as a Markdown table. */
export function markdownEvaluations(report: Report): string | null {
  const rows = evaluationRows(report);
  return rows && markdownRows(rows);
}
