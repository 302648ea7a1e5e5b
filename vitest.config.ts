import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Sibling packages are taken from their sources, so that tests need no build.
const conditions = ['mixsga-source', 'module', 'node', 'development|production'];

const workspace = fileURLToPath(new URL('.', import.meta.url));

const projects = ['packages', 'apps'].flatMap((group) =>
  readdirSync(workspace + group).map((directory) => {
    const root = `${workspace}${group}/${directory}`;
    const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { name: string };
    return { extends: true as const, test: { name: manifest.name, root, include: ['src/**/*.test.ts'] } };
  }),
);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    maxWorkers: 2,
    slowTestThreshold: 10_000,
    testTimeout: 30_000,
    projects: [...projects, { extends: true as const, test: { name: 'scripts', root: `${workspace}scripts`, include: ['*.test.mjs'] } }],
  },
});
