import { routerNames } from '@mixsga/router';
import { z } from 'zod';

import type { PlannedRun } from '../experiment/run-all';
import { checkShared, estimator, sharedConfig } from '../config/run-config';
import { oneOf } from '../config/strict';
import { taskName, tasksConfig } from '../config/tasks';

const method = z.strictObject({
  /** Name in the report. */
  name: z.string().min(1),
  /** What is one method at several budgets: joined by a line in the plot. */
  series: z.string().min(1).optional(),
  attention: z.string(),
  /** Router kind; default: the trained sigmoid router. */
  router: oneOf(routerNames).optional(),
  /** Whether heads are aligned before they are grouped. */
  align: z.boolean().optional(),
  /** Takes the place of routerLoss.alpha. */
  alpha: z.number().nonnegative().optional(),
  /** Takes the place of routerLoss.detach. */
  detach: z.boolean().optional(),
  /** Takes the place of routerLoss.estimator. */
  estimator: estimator.optional(),
  /** Takes the place of distillation. */
  distillation: sharedConfig.distillation,
  /** Takes the place of optimizer.learningRate. */
  learningRate: z.number().positive().optional(),
  /** What to measure of it beside the shared tasks. */
  tasks: tasksConfig.optional(),
});

/**
 * Configuration of a comparison: every method continues the same base model, for every seed, on the same tokens
 * in the same order.
 */
export const comparisonConfig = checkShared(
  z.strictObject({
    kind: z.literal('comparison'),
    /** The base model: the name of a shipped one, or a folder. */
    from: z.string(),
    methods: z.array(method).min(1),
    /** One run of each method for each seed; the seed fixes the order of the tokens and the router's start. */
    seeds: z.array(z.number().int().nonnegative()).min(1).default([0]),
    ...sharedConfig,
    /** Runs at a time, each in a process of its own with one thread. Default: 2, or 1 on a single core. */
    concurrency: z.number().int().positive().optional(),
  }),
)
  .refine((c) => allDiffer(c.methods.map((m) => folderName(m.name))), {
    path: ['methods'],
    message: 'expected names that differ in their letters and digits',
  })
  .superRefine(({ methods, tasks }, context) => {
    const shared = tasks.map(taskName);
    methods.forEach(({ tasks: own = [] }, i) => {
      const twice = own.map(taskName).find((name) => shared.includes(name));
      if (twice) context.addIssue({ code: 'custom', path: ['methods', i, 'tasks'], message: `expected other names than those of the shared tasks, got ${twice}` });
    });
  })
  .refine((c) => allDiffer(c.seeds), { path: ['seeds'], message: 'expected seeds that differ' });

export type ComparisonConfigInput = z.input<typeof comparisonConfig>;
export type ComparisonConfig = z.output<typeof comparisonConfig>;
export type Method = ComparisonConfig['methods'][number];

/** One training run of a comparison. */
export interface MethodRun extends PlannedRun {
  method: Method;
  seed: number;
}

/** The runs of a comparison: all methods of the first seed, then of the next. */
export function planRuns(config: ComparisonConfig): MethodRun[] {
  const { kind: _kind, from, methods, seeds, concurrency: _concurrency, ...shared } = config;
  return seeds.flatMap((seed) =>
    methods.map((method) => ({
      method,
      seed,
      name: `${method.name}, seed ${seed}`,
      folder: `${folderName(method.name)}-seed${seed}`,
      config: {
        kind: 'run' as const,
        ...shared,
        model: { from, attention: method.attention, router: method.router ? { kind: method.router } : undefined, align: method.align },
        optimizer: { ...shared.optimizer, learningRate: method.learningRate ?? shared.optimizer.learningRate },
        routerLoss: {
          alpha: method.alpha ?? shared.routerLoss.alpha,
          detach: method.detach ?? shared.routerLoss.detach,
          estimator: method.estimator ?? shared.routerLoss.estimator,
        },
        distillation: method.distillation ?? shared.distillation,
        tasks: [...shared.tasks, ...(method.tasks ?? [])],
        seed,
      },
    })),
  );
}

function folderName(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-');
}

function allDiffer(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}
