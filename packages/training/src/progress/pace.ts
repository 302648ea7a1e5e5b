import type { EvaluationProgress } from '@mixsga/evaluators';

import { formatDuration } from './progress';

/**
 * Tells how far a task is, for each report of it: `120 of 1000 (12 %), 3.2/s, 4 min 35 s left`. What an earlier run had finished
 * is not counted into the rate.
 */
export function paceText(now: () => number = () => performance.now()): (progress: EvaluationProgress) => string {
  let start: { at: number; done: number } | undefined;
  return ({ done, of }) => {
    start ??= { at: now(), done };
    const rate = (1000 * (done - start.done)) / (now() - start.at);
    const percent = Math.floor((100 * done) / of);
    const pace = rate > 0 && Number.isFinite(rate) ? `, ${rateText(rate)}, ${formatDuration((of - done) / rate)} left` : '';
    return `${Math.floor(done)} of ${of} (${percent} %)${pace}`;
  };
}

function rateText(perSecond: number): string {
  if (perSecond >= 10) return `${Math.round(perSecond)}/s`;
  return perSecond >= 0.1 ? `${perSecond.toFixed(1)}/s` : `${(60 * perSecond).toFixed(1)}/min`;
}
