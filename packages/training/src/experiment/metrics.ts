import { ArgumentError, nearestWord } from '@mixsga/backend';
import { evaluatorNamed, isHigherBetter } from '@mixsga/evaluators';

import type { RunConfig } from '../config/run-config';
import { taskName } from '../config/tasks';
import type { FinishedRun } from './run-all';

/** What the validation at the end of a run measures, and whether more is better. */
const VALIDATION = { perplexity: false, perplexity_prefill: false, agreement: true };

/** The numbers of a run by name: those of its validation, and `TASK.METRIC` of its tasks. What it does not have is not there. */
export function metricsOf({ result, evaluations }: Pick<FinishedRun, 'result' | 'evaluations'>): Record<string, number> {
  const all: [string, number | null][] = [
    ['perplexity', result.perplexity.decode],
    ['perplexity_prefill', result.perplexity.prefill],
    ['agreement', result.agreement],
    ...Object.entries(evaluations).flatMap(([task, { metrics }]) =>
      Object.entries(metrics).map(([metric, value]): [string, number | null] => [`${task}.${metric}`, value]),
    ),
  ];
  return Object.fromEntries(all.filter((entry): entry is [string, number] => entry[1] !== null));
}

/**
 * Whether more of a metric is better.
 *
 * @param tasks of the runs that are to have it
 * @throws ArgumentError for a metric that no run can have, as far as that is known before they have run
 */
export function higherIsBetter(metric: string, tasks: RunConfig['tasks'], source: string): boolean {
  if (Object.hasOwn(VALIDATION, metric)) return VALIDATION[metric as keyof typeof VALIDATION];
  const [name, ...rest] = metric.split('.');
  const task = tasks.find((candidate) => taskName(candidate) === name);
  if (task && rest.length > 0) return isHigherBetter(evaluatorNamed(task.task), rest.join('.'));
  const known = [...Object.keys(VALIDATION), ...tasks.map((candidate) => `${taskName(candidate)}.METRIC`)];
  const nearest = nearestWord(metric, known);
  throw new ArgumentError(`${source}: metric: expected ${nearest ? `${nearest}, or another of ` : 'one of '}${known.join(', ')}, got "${metric}"`);
}
