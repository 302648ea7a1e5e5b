// Modules of other people that register kinds of their own.
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { ArgumentError, MixsgaError, nearestWord } from '@mixsga/backend';
import { registerEvaluator } from '@mixsga/evaluators';
import { registerPolicy } from '@mixsga/kv-cache';
import { registerAttention, registerFamily } from '@mixsga/models';
import { registerRouter } from '@mixsga/router';
import { moduleResolve } from 'import-meta-resolve';

/**
 * What a plugin is given. It registers through these, and not through packages that it imports, since it may have other copies of them
 * than the command line.
 */
export const registries = { registerAttention, registerEvaluator, registerFamily, registerPolicy, registerRouter } as const;

/** The default export of a plugin. */
export type Plugin = (mixsga: typeof registries) => void | Promise<void>;

/** The same, where a name that there is not is an error that says so, and not undefined. `in` tells whether there is one. */
const named: typeof registries = new Proxy(registries, {
  get(target, name) {
    if (typeof name === 'symbol' || name in target) return target[name as keyof typeof target];
    const names = Object.keys(target);
    const nearest = nearestWord(name, names);
    throw new ArgumentError(`expected one of ${names.join(', ')}, got ${name}${nearest ? `; did you mean ${nearest}?` : ''}`);
  },
});

const loaded = new Set<string>();

/** Paths of the modules that were loaded, in order. */
export function loadedPlugins(): string[] {
  return [...loaded];
}

/**
 * Loads plugins, each once.
 * @param names files, folders of packages, or packages as Node finds them from the folder
 * @returns their paths
 * @throws ArgumentError naming the plugin that is not there, is no plugin, or fails
 */
export async function loadPlugins(names: readonly string[], folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of names) {
    const path = await locate(name, folder);
    if (!loaded.has(path)) {
      await load(name, path);
      loaded.add(path);
    }
    paths.push(path);
  }
  return paths;
}

/** The values of `--plugin` on a command line, which are needed before it is parsed: choices and help texts depend on them. */
export function pluginArguments(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).flatMap((argument, i) => {
    if (argument.startsWith('--plugin=')) return [argument.slice('--plugin='.length)];
    return argument === '--plugin' && i + 1 < argv.length ? [argv[i + 1]!] : [];
  });
}

async function locate(name: string, folder: string): Promise<string> {
  const path = resolve(folder, name);
  const found = await stat(path).catch(() => null);
  if (found?.isFile()) return path;
  const isPath = isAbsolute(name) || /^\.\.?($|[/\\])/.test(name);
  if (isPath && found?.isDirectory()) return inPackage(name, path);
  if (isPath) throw new ArgumentError(`plugin ${name}: expected a file or the folder of a package, and there is neither at ${path}; is it built?`);
  try {
    return fileURLToPath(moduleResolve(name, pathToFileURL(join(resolve(folder), 'config.json')), new Set(['node', 'import'])));
  } catch (error) {
    throw new ArgumentError(`plugin ${name}: expected a file or an installed package, and there is neither in ${resolve(folder)}`, { cause: error });
  }
}

/** What a package gives to who imports it by its name, which Node resolves inside the package too. */
async function inPackage(name: string, folder: string): Promise<string> {
  const manifest = join(folder, 'package.json');
  let found: { name?: string; exports?: unknown } = {};
  try {
    found = JSON.parse(await readFile(manifest, 'utf8')) as typeof found;
    return fileURLToPath(moduleResolve(found.name!, pathToFileURL(manifest), new Set(['node', 'import'])));
  } catch (error) {
    const expected = found.name && found.exports ? 'the file that package.json exports' : 'a package.json with a name and "exports"';
    throw new ArgumentError(`plugin ${name}: expected ${expected} in ${folder}, and there is none; is the package built?`, { cause: error });
  }
}

async function load(name: string, path: string): Promise<void> {
  try {
    const { default: plugin } = (await import(pathToFileURL(path).href)) as { default?: unknown };
    if (typeof plugin !== 'function') {
      throw new ArgumentError(`expected a function as default export, such as export default ({ registerRouter }) => …, got ${plugin === undefined ? 'none' : typeof plugin}`);
    }
    await (plugin as Plugin)(named);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const hint = /\.[cm]?tsx?$/.test(path) ? '; build it, and give the JavaScript that comes of it' : '';
    throw new ArgumentError(`plugin ${name}: ${MixsgaError.isInstance(error) ? message : `cannot be loaded: ${message.split('\n', 1)[0]}${hint}`}`, { cause: error });
  }
}
