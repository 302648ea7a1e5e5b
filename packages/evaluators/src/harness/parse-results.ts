import { FileError } from '@mixsga/backend';

import { shown } from '../fields';
import { type MixsgaResults, RESULTS_SCHEMA } from './results';

/** What a results file tells, ours or lm-evaluation-harness's own. */
export interface ParsedResults {
  readonly model: string;
  /** When the run began, seconds since 1970; null where the file does not say. */
  readonly date: number | null;
  readonly tasks: Readonly<Record<string, ParsedTask>>;
  /** Null in a file of lm-evaluation-harness. */
  readonly mixsga: MixsgaResults | null;
}

export interface ParsedTask {
  /** By name, without the filter; null for "N/A". Standard errors end in `_stderr`. */
  readonly metrics: Readonly<Record<string, number | null>>;
  readonly higherIsBetter: Readonly<Record<string, boolean>>;
  readonly version: number | null;
  /** Documents measured; null where the file does not say. */
  readonly documents: number | null;
}

/**
 * Reads the object of a results file. Of several filters of a metric the first counts.
 *
 * @param where the file's path, for errors
 * @throws FileError that says what is wrong, for a file of another kind or another version
 */
export function parseHarnessResults(json: unknown, where: string): ParsedResults {
  const file = objectOf(json);
  if (!file) throw new FileError(where, `expected an object of results, got ${shown(json)}`);
  const mixsga = objectOf(file.mixsga);
  const schema = mixsga ? mixsga.schema : file.schema;
  if ((mixsga ?? file.schema) !== undefined && schema !== RESULTS_SCHEMA) {
    throw new FileError(where, `expected results of the schema ${RESULTS_SCHEMA}, got ${shown(schema)}; evaluate again with this version`);
  }
  const results = objectOf(file.results);
  if (!results) throw new FileError(where, "expected results of lm-evaluation-harness or mixsga, found no 'results'");
  const tasks = Object.fromEntries(Object.entries(results).map(([name, values]) => [name, taskOf(name, values, file, where)]));
  return {
    model: modelOf(file),
    date: typeof file.date === 'number' ? file.date : null,
    tasks,
    mixsga: (mixsga as MixsgaResults | undefined) ?? null,
  };
}

function taskOf(name: string, values: unknown, file: Fields, where: string): ParsedTask {
  const metrics: Record<string, number | null> = {};
  for (const [key, value] of Object.entries(objectOf(values) ?? {})) {
    const [metric, filter] = key.split(',') as [string, string?];
    if (filter === undefined || metric in metrics) continue;
    if (!Number.isFinite(value) && value !== 'N/A') {
      throw new FileError(where, `expected a finite number or "N/A" in results.${name}['${key}'], got ${shown(value)}`);
    }
    metrics[metric] = value === 'N/A' ? null : (value as number);
  }
  if (Object.keys(metrics).length === 0) {
    throw new FileError(where, `expected metrics such as 'acc,none' in results.${name}, as lm-evaluation-harness writes them from 0.4 on, got ${shown(values)}`);
  }
  const version = objectOf(file.versions)?.[name];
  const effective = objectOf(objectOf(file['n-samples'])?.[name])?.effective;
  return {
    metrics,
    higherIsBetter: (objectOf(objectOf(file.higher_is_better)?.[name]) ?? {}) as Record<string, boolean>,
    version: typeof version === 'number' ? version : null,
    documents: typeof effective === 'number' ? effective : null,
  };
}

function modelOf(file: Fields): string {
  const names = [file.model_name, objectOf(file.config)?.model];
  return (names.find((name) => typeof name === 'string') as string | undefined) ?? 'unknown';
}

type Fields = Readonly<Record<string, unknown>>;

function objectOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
