import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { evaluatorNames } from '@mixsga/evaluators';
import { routerNames } from '@mixsga/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { loadedPlugins, loadPlugins, pluginArguments } from './plugins';

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

const router = (name: string): string => `export default ({ registerRouter }) => registerRouter('${name}', () => { throw new Error('unused'); });`;

const files: Readonly<Record<string, string>> = {
  'by-path.mjs': router('by-path'),
  'node_modules/by-name/package.json': JSON.stringify({ name: 'by-name', version: '1.0.0', type: 'module', exports: { '.': { import: './plugin.js' } } }),
  'node_modules/by-name/plugin.js': router('by-name'),
  'none.mjs': 'export const plugin = 1;',
  'text.mjs': "export default 'cosine';",
  'throws.mjs': "throw new Error('no such thing\\nand more');",
  'rejects.mjs': "export default async () => { throw new Error('later'); };",
  'syntax.mjs': 'export default (',
  'taken.mjs': router('sigmoid'),
  'misspelt.mjs': 'export default ({ registerPolicies }) => registerPolicies({});',
  'other.mjs': 'export default (mixsga) => mixsga.loadFormats();',
  'rank.mjs': "export default ({ registerPolicy }) => registerPolicy({ name: 'third', description: 'none', rank: 3 });",
  'asks.mjs': "export default async (mixsga) => { if ('registerKernel' in mixsga) mixsga.registerKernel(); };",
  'types.ts': 'export default ((): void =>',
  'package/package.json': JSON.stringify({ name: 'own-package', version: '1.0.0', type: 'module', exports: { '.': './dist/plugin.js' } }),
  'package/dist/plugin.js': router('by-folder'),
  'unbuilt/package.json': JSON.stringify({ name: 'unbuilt', version: '1.0.0', type: 'module', exports: { '.': './dist/plugin.js' } }),
  'loose/package.json': '{',
  'taken-task.mjs': "export default ({ registerEvaluator }) => registerEvaluator({ name: 'perplexity' });",
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-plugins-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(at(name), content);
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe('loadPlugins', () => {
  it('loads files and packages of the folder, each once', async () => {
    const paths = [at('by-path.mjs'), at('node_modules/by-name/plugin.js')];
    expect(await loadPlugins(['by-path.mjs', 'by-name'], folder)).toEqual(paths);
    expect(await loadPlugins(['./by-path.mjs', at('by-path.mjs')], folder)).toEqual([paths[0], paths[0]]);
    expect(loadedPlugins()).toEqual(paths);
    expect(routerNames()).toEqual(expect.arrayContaining(['by-path', 'by-name']));
  });

  it('loads the package of a folder, and one that asks what there is', async () => {
    expect(await loadPlugins(['./package', 'asks.mjs'], folder)).toEqual([at('package/dist/plugin.js'), at('asks.mjs')]);
    expect(await loadPlugins(['.'], at('package'))).toEqual([at('package/dist/plugin.js')]);
    expect(routerNames()).toContain('by-folder');
  });

  it.each([
    ['./missing.mjs', /^plugin \.\/missing\.mjs: expected a file or the folder of a package, and there is neither at .*missing\.mjs; is it built\?$/],
    ['./unbuilt', /^plugin \.\/unbuilt: expected the file that package\.json exports in .*unbuilt, and there is none; is the package built\?$/],
    ['./loose', /^plugin \.\/loose: expected a package\.json with a name and "exports" in .*loose, and there is none/],
    ['.', /^plugin \.: expected a package\.json with a name and "exports" in /],
    ['types.ts', /^plugin types\.ts: cannot be loaded: .*; build it, and give the JavaScript that comes of it$/],
    ['misspelt.mjs', 'plugin misspelt.mjs: expected one of registerAttention, registerEvaluator, registerFamily, registerPolicy, registerRouter, got registerPolicies; did you mean registerPolicy?'],
    ['other.mjs', /got loadFormats$/],
    ['rank.mjs', 'plugin rank.mjs: registerPolicy: third: expected rank to be a function, got 3'],
    ['by-nobody', /^plugin by-nobody: expected a file or an installed package, and there is neither in /],
    ['none.mjs', 'plugin none.mjs: expected a function as default export, such as export default ({ registerRouter }) => …, got none'],
    ['text.mjs', 'plugin text.mjs: expected a function as default export, such as export default ({ registerRouter }) => …, got string'],
    ['throws.mjs', /^plugin throws\.mjs: cannot be loaded: no such thing$/],
    ['rejects.mjs', 'plugin rejects.mjs: cannot be loaded: later'],
    ['syntax.mjs', /^plugin syntax\.mjs: cannot be loaded: /],
    ['taken.mjs', 'plugin taken.mjs: registerRouter: expected a name that is free, got sigmoid'],
    ['taken-task.mjs', 'plugin taken-task.mjs: registerEvaluator: expected a name that is free, got perplexity'],
  ])('refuses %s by its name', async (name, message) => {
    const before = [loadedPlugins(), routerNames(), evaluatorNames()];
    await expect(loadPlugins([name], folder)).rejects.toThrow(message);
    expect([loadedPlugins(), routerNames(), evaluatorNames()]).toEqual(before);
  });
});

it.each([
  [[], []],
  [['eval', '--plugin', 'a.js', 'm', '--plugin=b'], ['a.js', 'b']],
  [['generate', 'm', '--', '--plugin', 'c'], []],
  [['eval', '--plugin'], []],
  [['eval', '--plugins', 'x'], []],
])('pluginArguments finds in %j %j', (argv, names) => {
  expect(pluginArguments(argv)).toEqual(names);
});
