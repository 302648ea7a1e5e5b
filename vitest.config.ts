import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

// Sibling packages are taken from their sources, so that tests need no build.
const conditions = ['mixsga-source', 'module', 'node', 'development|production'];

// The long lane runs what takes minutes, and nothing else: `npm run test:long`.
const long = process.env.MIXSGA_LONG === '1';
const include = [`src/**/*${long ? '.long' : ''}.test.ts`];
const exclude = [...configDefaults.exclude, ...(long ? [] : ['**/*.long.test.ts'])];

const workspace = fileURLToPath(new URL('.', import.meta.url));

const projects = ['packages', 'apps', 'examples'].flatMap((group) =>
  readdirSync(workspace + group).map((directory) => {
    const root = `${workspace}${group}/${directory}`;
    const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { name: string };
    return { extends: true as const, test: { name: manifest.name, root, include, exclude } };
  }),
);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    maxWorkers: 2,
    slowTestThreshold: 10_000,
    testTimeout: 120_000,
    projects: [...projects, ...(long ? [] : [{ extends: true as const, test: { name: 'scripts', root: `${workspace}scripts`, include: ['*.test.mjs'] } }])],
    passWithNoTests: long,
  },
});
