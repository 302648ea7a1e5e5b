import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { describe, expect, it } from 'vitest';

const eslint = new ESLint({ cwd: fileURLToPath(new URL('..', import.meta.url)) });

/** The arrows that `pnpm lint` reports when the entry of a package consists of `code`. */
async function reported(folder, code) {
  const [result] = await eslint.lintText(code, { filePath: `${folder}/src/index.ts` });
  return result.messages.filter((message) => message.ruleId === 'mixsga/import-arrows').map((message) => message.message);
}

describe('import arrows', () => {
  it.each([
    ['an import upwards', 'packages/router', "export { TrainableModel } from '@mixsga/models';"],
    ['a sibling', 'packages/experts', "import '@mixsga/router';"],
    ['a dynamic import', 'packages/evaluators', "export const models = await import('@mixsga/models');"],
    ['any sibling from the bottom', 'packages/backend', "export * from '@mixsga/router';"],
    ['the sources of a package', 'packages/models', "import '@mixsga/backend/src/errors';"],
    ['what trains from below it', 'packages/models', "import '@mixsga/training/node';"],
    ['reports from what trains', 'packages/training', "import '@mixsga/report';"],
    ['an entry that a package does not have', 'packages/report', "import '@mixsga/training/data';"],
    ['a path out of the package', 'packages/models', "import '../../backend/src/errors';"],
  ])('refuses %s', async (_, folder, code) => {
    expect(await reported(folder, code)).toHaveLength(1);
  });

  it.each([
    ['packages/models', "import '@mixsga/router';\nimport '@mixsga/backend/testing';\nimport './opt';"],
    ['packages/evaluators', "import '@mixsga/backend';"],
    ['packages/kv-cache', "import '@tensorflow/tfjs-core';"],
    ['packages/report', "import '@mixsga/training';\nimport '@mixsga/training/node';"],
  ])('lets %s import what lies below it', async (folder, code) => {
    expect(await reported(folder, code)).toEqual([]);
  });
});
