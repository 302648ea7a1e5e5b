import { backendNames } from '../platform/platform';
import type { CaseReport } from './conformance';
import type { KernelCase } from './kernel-case';

const UNKNOWN = 'not measured';

/**
 * A Markdown table of kernels and backends. Cells of backends that `reports` says nothing about are taken over from
 * `previous`, an earlier table, so that a machine without some device leaves its column as it is.
 */
export function supportTable(cases: readonly KernelCase[], reports: readonly CaseReport[], previous: string): string {
  const kernels = [...new Set(cases.map(({ kernel }) => kernel))];
  const rows = kernels.map((kernel) => {
    const count = cases.filter((kernelCase) => kernelCase.kernel === kernel).length;
    const cells = backendNames.map((backend, column) => {
      const own = reports.filter((report) => report.kernel === kernel && report.backend === backend);
      return own.length > 0 ? summarize(own) : previousCell(previous, kernel, column);
    });
    return [kernel, String(count), ...cells];
  });
  const header = ['operation', 'cases', ...backendNames];
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function summarize(reports: readonly CaseReport[]): string {
  const lacking = (status: string) =>
    reports.filter(({ outputs, gradients }) => outputs.status === status || gradients?.status === status);
  const refused = lacking('unsupported');
  if (lacking('failed').length > 0) return 'wrong';
  if (refused.length === reports.length) return 'unsupported';
  const kind = reports.every(({ fast }) => fast) ? 'fast' : 'right';
  return refused.length === 0 ? kind : `${kind}, but unsupported: ${refused.map(({ name }) => name).join(', ')}`;
}

function previousCell(table: string, kernel: string, column: number): string {
  const row = table.split('\n').find((line) => line.startsWith(`| ${kernel} | `));
  return row?.split('|').slice(3, -1)[column]?.trim() ?? UNKNOWN;
}
