// What mutation testing is done to: sources, and the tests that hold them. Both are files or whole folders, and paths from the root. Mutants of
// `stateful` sources have modules of their own: what these computed, or were told, once would stay for the next.
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { root } from '../workspace.mjs';

const wholePackage = (name) => ({ sources: [`packages/${name}/src`], tests: [`packages/${name}/src`] });
const models = (...names) => names.map((name) => `packages/models/src/${name}`);
const training = (...names) => names.map((name) => `packages/training/src/${name}`);

export const subjects = {
  'kv-cache': wholePackage('kv-cache'),
  router: { ...wholePackage('router'), stateful: /./ },
  experts: wholePackage('experts'),
  evaluators: wholePackage('evaluators'),
  // Files of models, HTTP and proxies.
  io: {
    sources: models('io'),
    tests: models('io', 'hub', 'checkpoints/open-checkpoint.test.ts', 'checkpoints/save-checkpoint.test.ts'),
    stateful: /\/(float16|environment)\.ts$/,
  },
  // How tokens are stored and attended to; WebGPU's kernels where there is a device.
  formats: {
    sources: ['packages/backend/src/formats'],
    tests: ['packages/backend/src/formats', 'packages/backend/src/testing', 'packages/experts/src', 'packages/kv-cache/src', ...models('decoder/experts.test.ts', 'decoder/cached-decoder.test.ts')],
  },
  tokenizers: {
    sources: models('tokenizers'),
    tests: models('tokenizers'),
  },
  'model-card': { sources: models('checkpoints/model-card.ts'), tests: models('checkpoints/model-card.test.ts', 'checkpoints/save-checkpoint.test.ts') },
  // Rows of Parquet and JSON, whole texts, and what is skipped of them.
  rows: {
    sources: training('data/rows.ts', 'data/json-rows.ts', 'data/files.ts', 'data/data-files.ts', 'data/parquet-rows.ts', 'data/parquet-checks.ts', 'data/parquet-codecs.ts', 'evaluation/data.ts'),
    tests: training('data', 'evaluation'),
  },
};

/**
 * Tests by thousands of damaged files look for crashes, and take too long to be run for each mutant. Those of the browser's cache leave requests
 * behind, which the proxy of the next file would count.
 */
const LEFT_OUT = /\.long\.test\.ts$|\/(fuzz|hostile-memory|browser-cache)\.test\.ts$/;

export function sourcesOf(name) {
  return filesOf(subjects[name].sources).filter((file) => !/\.test\.ts$|\/testing\/|\/fixtures\//.test(file));
}

export function testsOf(name) {
  return filesOf(subjects[name].tests).filter((file) => file.endsWith('.test.ts') && !LEFT_OUT.test(file));
}

function filesOf(places) {
  const files = places.flatMap((place) => {
    const where = path.join(root, place);
    if (statSync(where).isFile()) return [place];
    return readdirSync(where, { recursive: true }).map((file) => path.posix.join(place, file.replaceAll(path.sep, '/')));
  });
  return [...new Set(files)].filter((file) => /(?<!\.d)\.ts$/.test(file)).sort();
}
