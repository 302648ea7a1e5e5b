import { createHash } from 'node:crypto';

import { ArgumentError } from '@mixsga/backend';

import { runConfig, type RunConfigInput } from '../config/run-config';
import { parseStrict, setDotted } from '../config/strict';
import type { PlannedRun } from '../experiment/run-all';
import type { SweepConfig } from './config';

/** One run of a sweep. */
export interface SweepRun extends PlannedRun {
  /** Its value of each key of the grid but `seed`, as text. */
  settings: Record<string, string>;
  seed: number;
}

/** A value of a key of the grid: its text, and the settings that it makes. */
interface Choice {
  key: string;
  label: string;
  settings: [key: string, value: unknown][];
}

/**
 * The runs of a sweep, the last key of the grid changing fastest.
 *
 * @param source what to call the configuration in errors
 * @throws ArgumentError for a grid that is empty, too large or not of the right form, and for a run that is no configuration of one
 */
export function planSweep({ base, grid, maximumRuns }: SweepConfig, source: string): SweepRun[] {
  const keys = Object.keys(grid);
  if (keys.length === 0) throw new ArgumentError(`${source}: grid: expected a setting with the values to try, such as {"seed": [1, 2, 3]}, got none`);
  const axes = keys.map((key) => choicesOf(key, grid[key], source));
  const count = axes.reduce((product, choices) => product * choices.length, 1);
  if (count > maximumRuns) {
    const sizes = axes.map((choices) => choices.length).join(' × ');
    throw new ArgumentError(`${source}: grid: ${sizes} values make ${count} runs, expected at most ${maximumRuns}; shorten the lists, or raise maximumRuns`);
  }
  const combinations = axes.reduce<Choice[][]>((rows, choices) => rows.flatMap((row) => choices.map((choice) => [...row, choice])), [[]]);
  const runs = combinations.map((choices) => runOf(base, choices, source));
  const twins = runs.filter(({ folder }, i) => runs.findIndex((run) => run.folder === folder) !== i);
  if (twins.length > 0) {
    throw new ArgumentError(`${source}: grid: expected values that differ in their letters and digits, got ${twins[0]!.name} twice`);
  }
  return runs;
}

function choicesOf(key: string, values: unknown, source: string): Choice[] {
  const where = `${source}: grid.${key}`;
  if (Array.isArray(values) && values.length > 0) {
    return values.map((value: unknown) => ({ key, label: textOf(value), settings: [[key, value]] }));
  }
  if (isObject(values) && Object.keys(values).length > 0) {
    return Object.entries(values).map(([label, settings]) => {
      if (!isObject(settings)) throw new ArgumentError(`${where}.${label}: expected an object of settings, got ${textOf(settings)}`);
      return { key, label, settings: Object.entries(settings) };
    });
  }
  throw new ArgumentError(`${where}: expected a list of values, or an object of named settings, with one or more, got ${textOf(values)}`);
}

function runOf(base: Record<string, unknown>, choices: readonly Choice[], source: string): SweepRun {
  const config = structuredClone(base);
  for (const { key, settings } of choices) {
    for (const [setting, value] of settings) setDotted(config, setting, value, `${source}: grid.${key}`);
  }
  const parsed = parseStrict(runConfig, config, source);
  const name = choices.map(({ key, label }) => `${lastPart(key)} ${label}`).join(', ');
  return {
    name,
    folder: folderOf(choices),
    config: config as RunConfigInput,
    seed: parsed.seed,
    settings: Object.fromEntries(choices.filter(({ key }) => key !== 'seed').map(({ key, label }) => [key, label])),
  };
}

/** The longest name of a folder whose reason can still be read. */
const LONGEST_FOLDER = 120;

function folderOf(choices: readonly Choice[]): string {
  const name = choices
    .map(({ key, label }) => (/^[-\d]/.test(label) ? `${lastPart(key)}-${label}` : label))
    .map((part) => part.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/-$/, ''))
    .join('_');
  if (name.length <= LONGEST_FOLDER) return name;
  return `${name.slice(0, LONGEST_FOLDER - 9)}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
}

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('.') + 1);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
