import { count, percent, perplexityText, ratioText } from './format';
import type { Report } from './schema';
import { summarise } from './summary';

const HEADINGS = [
  'method', 'KV cache', 'bytes/token', 'perplexity, decode', 'perplexity, prefill', 'agreement', 'ratios, decode', 'KV used, decode',
];

/** The methods of a report as rows of text, a heading row first; a dash where a method does not route. */
function tableRows(report: Report): string[][] {
  const rows = summarise(report).map((method) => [
    method.name,
    percent(method.kvBudget),
    count(method.kvBytesPerToken),
    perplexityText(method.perplexity.decode),
    perplexityText(method.perplexity.prefill),
    method.agreement ? percent(method.agreement.mean) : '–',
    method.realisedRatios ? ratioText(method.realisedRatios.decode) : '–',
    method.realisedKvBudget ? percent(method.realisedKvBudget.decode, 1) : '–',
  ]);
  return [HEADINGS, ...rows];
}

/** The table of a report for the terminal: columns aligned, numbers to the right. */
export function formatTable(report: Report): string {
  const rows = tableRows(report);
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ').trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}

/** The same as a Markdown table. */
export function markdownTable(report: Report): string {
  const [head, ...body] = tableRows(report);
  const line = (row: string[]) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `| --- |${' ---: |'.repeat(HEADINGS.length - 1)}`;
  return [line(head!), rule, ...body.map(line)].join('\n');
}
