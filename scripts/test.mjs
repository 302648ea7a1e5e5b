// `npm test`: every check of the repository, from a fresh clone with nothing but Node and npm. `npm run test:long`: the tests that take
// minutes, alone, and a sample of mutants. The last line counts the tests, and each other check as one more.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { install, pnpm, run, turbo } from './workspace.mjs';

install();

const failures = [];
let passed = 0;

function check(name, succeeded) {
  if (succeeded) passed += 1;
  else failures.push(name);
}

if (process.argv.includes('--long')) {
  process.env.MIXSGA_LONG = '1'; // for vitest.config.ts
  check('build', turbo('build', '--filter=@mixsga/trainer'));
  check('mutants', run(process.execPath, ['scripts/mutate.mjs', 'kv-cache', 'router', 'experts', 'evaluators', 'io', '--sample', '30', '--seed', '7', '--at-least', '90']));
} else {
  check('build', turbo('build'));
  check('typecheck', pnpm('run', 'typecheck'));
  check('lint', pnpm('run', 'lint'));
  check('knip', pnpm('run', 'knip'));
  check('packages', run(process.execPath, ['scripts/check-packages.mjs']));
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'mixsga-test-'));
try {
  const report = path.join(folder, 'vitest.json');
  const succeeded = pnpm('exec', 'vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
  countVitest(report, succeeded);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

for (const name of failures) process.stderr.write(`failed: ${name}\n`);
process.stdout.write(`${passed} passed, ${failures.length} failed\n`);
process.exitCode = failures.length > 0 ? 1 : 0;

/** Adds vitest's counts; a file that does not load, or a run that ends without a report, is one failure. */
function countVitest(report, succeeded) {
  const before = failures.length;
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    for (const file of testResults) {
      const failed = file.assertionResults.filter((test) => test.status === 'failed');
      passed += file.assertionResults.filter((test) => test.status === 'passed').length;
      failures.push(...failed.map((test) => `${file.name}: ${test.fullName}`));
      if (file.status === 'failed' && failed.length === 0) failures.push(`${file.name} does not run`);
    }
  } catch (error) {
    process.stderr.write(`vitest wrote no report: ${error.message}\n`);
  }
  if (!succeeded && failures.length === before) failures.push('vitest');
}
