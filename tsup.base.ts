import { readFileSync } from 'node:fs';
import { defineConfig, type Options } from 'tsup';

/**
 * The build of a package: one ESM bundle and one declaration file for each entry of its package.json `exports`
 * (`"./testing"` becomes `dist/testing.js`, from the path under the `mixsga-source` condition).
 */
export function library(options: Options = {}) {
  return defineConfig({
    entry: options.entry ?? exportedSources(),
    format: 'esm',
    target: 'es2022',
    platform: 'node',
    // Code that two entries share stays one module, so that a class is the same class in both.
    splitting: true,
    removeNodeProtocol: false,
    // The demo runs from a fresh clone, where declarations would be most of the wait and nobody reads them.
    dts: process.env.MIXSGA_DECLARATIONS !== 'off',
    clean: true,
    ...options,
  });
}

function exportedSources(): Record<string, string> {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
    exports: Record<string, { 'mixsga-source': string }>;
  };
  return Object.fromEntries(
    Object.entries(manifest.exports).map(([name, conditions]) => [
      name === '.' ? 'index' : name.slice(2),
      conditions['mixsga-source'],
    ]),
  );
}
