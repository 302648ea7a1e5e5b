import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { describeBackends } from '../platform/index';
import type { CaseReport } from '../testing/conformance';
import { checkKernelCase } from '../testing/conformance';
import type { KernelCase } from '../testing/kernel-case';
import { sample } from '../testing/sample';
import { stockCases } from '../testing/stock-cases';
import { supportTable } from '../testing/support-table';
import { kernelCases } from './cases';

const backends = await describeBackends();
const reports: CaseReport[] = [];
let registered = 0;

describe.each(backends)('on $name', ({ name, available, software, reason }) => {
  test.runIf(!available)('nothing can be checked', ({ skip }) => skip(reason));
  if (!available) return;

  const runAll = (cases: readonly KernelCase[], check: (report: CaseReport, kernelCase: KernelCase) => void) => {
    registered += cases.length;
    test.for(cases.map((kernelCase) => [kernelCase.kernel, kernelCase.name, kernelCase] as const))(
      '%s: %s',
      async ([, , kernelCase], { skip }) => {
        const report = await checkKernelCase(kernelCase, name);
        reports.push(report);
        if (report.outputs.status === 'unsupported') skip(`unsupported: ${report.outputs.message}`);
        check(report, kernelCase);
      },
    );
  };
  const passed = { status: 'passed', nmse: expect.any(Number) };
  const checkNumbers = ({ outputs, gradients }: CaseReport, { differentiable }: KernelCase) => {
    expect(outputs).toEqual(passed);
    expect(gradients).toEqual(differentiable ? passed : null);
  };

  // A device that the processor stands in for is slow, and what runs there is a composition of the stock operations.
  describe('kernel', () => runAll(software ? sample(kernelCases, 4) : kernelCases, (report, kernelCase) => {
    checkNumbers(report, kernelCase);
    expect(report.fast).toBe(name === 'wasm');
  }));
  describe('stock operation', () => runAll(stockCases, checkNumbers));
});

test('docs/kernels.md shows what was measured (to write it: run this file with --update)', async ({ skip }) => {
  if (reports.length < registered) skip('not all cases were run');
  const file = new URL('../../../../docs/kernels.md', import.meta.url);
  const previous = await readFile(file, 'utf8').catch(() => '');
  const [kernels, stock] = [kernelCases, stockCases].map((cases) => supportTable(cases, reports, previous));
  await expect(`# Operations and backends

<!-- Written by packages/backend/src/kernels/kernels.test.ts; do not edit. -->

What the conformance suite finds. Each operation is run over its cases (shapes, dtypes, special values) and held against the
\`cpu\` backend: normalised mean squared error at most 1e-7 for outputs and 1e-6 for gradients, NaN and ±Infinity in place,
integers equal, inputs unchanged; on wasm the bytes around every allocation stay as they were; gradients agree with finite
differences. \`webgpu\` was measured on SwiftShader, the first table by four cases of each operation. A backend that does not
start on a machine keeps its column.

- **fast**: by a kernel of this project.
- **right**: by stock operations of TensorFlow.js, or by those that \`@mixsga/backend\` mends.
- **unsupported**: refused with an error that says so.
- **wrong**: other numbers than the reference.
- **not measured**: on no machine so far.

## Operations of @mixsga/backend

${kernels}

## Operations of TensorFlow.js that this project relies on

${stock}
`).toMatchFileSnapshot(file.pathname);
});
