// Tests over and over, each time with another mutant on: run by ../mutate.mjs, which says which in a job file.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { root } from '../workspace.mjs';
import { instrument, mutantsOf } from './operators.mjs';

const job = JSON.parse(readFileSync(process.env.MIXSGA_MUTATION_JOB, 'utf8'));
const conditions = ['mixsga-source', 'module', 'node', 'development|production'];

const mutate = {
  name: 'mutate',
  enforce: 'pre',
  resolveId: (id, importer) => (id === 'vitest' && importer?.endsWith('.test.ts') ? path.join(root, 'scripts/mutation/describe.mjs') : undefined),
  transform(source, id) {
    const first = job.firstIds[path.relative(root, id)];
    return first === undefined ? undefined : instrument(source, mutantsOf(source, id).map((mutant, i) => ({ ...mutant, id: first + i })));
  },
};

export default defineConfig({
  plugins: [mutate],
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    root,
    include: ['scripts/mutation/every-mutant.mjs'],
    runner: path.join(root, 'scripts/mutation/runner.mjs'),
    isolate: false,
    fileParallelism: false,
    maxWorkers: 1,
    testTimeout: job.timeoutMs,
    hookTimeout: job.timeoutMs,
    teardownTimeout: 5_000,
    onConsoleLog: () => false,
    dangerouslyIgnoreUnhandledErrors: true,
  },
});
