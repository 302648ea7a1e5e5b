import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

import { ArgumentError, FileError, nearestWord } from '@mixsga/backend';
import { applySettings, type ComparisonConfig, comparisonConfig, parseStrict, presets, type RunConfig, runConfig, type SweepConfig, sweepConfig } from '@mixsga/training';
import { z } from 'zod';

import { loadedPlugins, loadPlugins } from '../plugins';

export interface LoadedConfig {
  /** Name of the preset or of the file without its ending. */
  name: string;
  /** What to call it in errors. */
  source: string;
  config: RunConfig | ComparisonConfig | SweepConfig;
}

/** What a configuration can ask for. */
const kinds = { run: runConfig, comparison: comparisonConfig, sweep: sweepConfig };

/**
 * Reads a configuration: a preset by name, or a JSON file. Its plugins are loaded, and those of the command line become its own, so that every
 * process that resumes it loads them.
 *
 * @param settings `key=value` pairs that change it, with dotted keys.
 * @throws ArgumentError for an unknown preset, key or value; FileError for a file that is not JSON.
 */
export async function loadConfig(nameOrPath: string, settings: readonly string[] = []): Promise<LoadedConfig> {
  const preset = presets[nameOrPath]?.config;
  const source = preset ? `preset ${nameOrPath}` : nameOrPath;
  const value = applySettings(preset ?? (await readJson(nameOrPath)), settings);
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : 'run';
  if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind)) {
    throw new ArgumentError(`${source}: kind: expected ${Object.keys(kinds).map((known) => `"${known}"`).join(' or ')}, got ${JSON.stringify(kind)}`);
  }
  await withPlugins(kind === 'sweep' ? (value as { base?: unknown }).base : value, preset ? '.' : dirname(nameOrPath), source);
  const config = parseStrict(kinds[kind as keyof typeof kinds], value, source);
  return { name: preset ? nameOrPath.replaceAll('/', '-') : basename(nameOrPath, '.json'), source, config };
}

/** @param run plain data that may be anything, and whose plugins become the paths of all that are loaded */
async function withPlugins(run: unknown, folder: string, source: string): Promise<void> {
  if (typeof run !== 'object' || run === null) return;
  const config = run as { plugins?: unknown };
  const names = parseStrict(z.array(z.string()).optional(), config.plugins, `${source}: plugins`) ?? [];
  await loadPlugins(names, folder);
  if (loadedPlugins().length > 0) config.plugins = loadedPlugins();
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new FileError(path, (error as Error).message);
    const names = Object.keys(presets);
    const nearest = nearestWord(path, names);
    throw new ArgumentError(
      `${path}: no such preset or file; ${nearest ? `did you mean ${nearest}?` : 'mixsga presets lists the presets'}`,
    );
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new FileError(path, `expected JSON: ${(error as Error).message}`);
  }
}
