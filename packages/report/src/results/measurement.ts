import { FileError } from '@mixsga/backend';
import { kvAccounting, type ParsedResults } from '@mixsga/evaluators';
import { z } from 'zod';

import type { ImportanceWindow } from '../plots/importance-strip';
import type { RetrievalCell } from '../plots/retrieval-plot';
import type { RoutingDetails } from '../plots/routing-plot';
import type { Collected, Found } from './collected';

/** A number with its standard error; null where there is none. */
export interface Metric {
  readonly value: number | null;
  readonly stderr: number | null;
}

/** What one task found of one model. Null is what a file of lm-evaluation-harness does not say. */
export interface Measurement {
  readonly path: string;
  readonly model: string;
  readonly attention: string | null;
  readonly weights: string | null;
  /** Share of the unmodified KV cache as asked for. */
  readonly kvBudget: number | null;
  /** Bytes per token over all layers, the expert index counted: realised under the routing where `routing` measured that, else as asked for. */
  readonly kvBytes: number | null;
  /** Bytes per token of the unmodified model. */
  readonly kvBytesFull: number | null;
  /** Element type of keys and values. */
  readonly kvType: string | null;
  /** Name in the results, and that of its evaluator. */
  readonly task: string;
  readonly evaluator: string | null;
  readonly data: string | null;
  readonly routing: string | null;
  readonly eviction: string | null;
  /** Bytes that the KV cache might hold, with the policy. */
  readonly byteBudget: string | null;
  /** Documents or windows that were measured. */
  readonly samples: number | null;
  readonly metrics: Readonly<Record<string, Metric>>;
  readonly higherIsBetter: Readonly<Record<string, boolean>>;
  readonly details: Readonly<Record<string, unknown>>;
}

interface TaskOptions {
  readonly routing?: string;
  readonly eviction?: string;
  readonly kvBudget?: number | string;
  readonly kvPolicy?: string;
}

/**
 * The tasks of all results files, the variants of a model together. Where one thing was measured with the same settings in several of them, the newest counts.
 *
 * @returns also how many older ones were left out
 */
export function measurementsOf({ results }: Pick<Collected, 'results'>): { measurements: Measurement[]; older: number } {
  const newest = new Map<string, { date: number; measurement: Measurement }>();
  let older = 0;
  for (const { path, content } of results) {
    const { mixsga, date } = content;
    for (const [task, { metrics, higherIsBetter, documents }] of Object.entries(content.tasks)) {
      const own = mixsga?.tasks[task];
      const { routing = null, eviction = null, kvBudget, kvPolicy } = (own?.options ?? {}) as TaskOptions;
      const measurement: Measurement = {
        path,
        model: content.model,
        attention: mixsga && attentionText(mixsga),
        weights: mixsga?.weights ?? null,
        kvBudget: mixsga?.kv.budget ?? null,
        kvBytes: mixsga && realisedBytes(content, routing),
        kvBytesFull: mixsga?.kv.bytesPerTokenFull ?? null,
        kvType: mixsga && (mixsga.kv.type ?? 'f32'),
        task,
        evaluator: own?.evaluator ?? null,
        data: own?.data ?? null,
        routing,
        eviction,
        byteBudget: kvBudget === undefined ? null : `${typeof kvBudget === 'number' ? `${kvBudget.toLocaleString('en')} bytes` : kvBudget}${kvPolicy === undefined ? '' : `, ${kvPolicy}`}`,
        samples: documents,
        metrics: withErrors(metrics),
        higherIsBetter,
        details: own?.details ?? {},
      };
      const { model, attention, weights, kvType } = measurement;
      const key = JSON.stringify([model, attention, weights, kvType, mixsga?.backend, task, own?.data, own?.options, documents]);
      const before = newest.get(key);
      if (before) older++;
      if (!before || before.date <= (date ?? 0)) newest.set(key, { date: date ?? 0, measurement });
    }
  }
  return { measurements: [...newest.values()].map(({ measurement }) => measurement).sort(inOrder), older };
}

/** With the kind of its routers, where that is not the default. */
function attentionText({ attention, router = 'sigmoid' }: NonNullable<ParsedResults['mixsga']>): string {
  return router === 'sigmoid' ? attention : `${attention}, ${router}`;
}

const routed = z.object({ ratios: z.object({ decode: z.array(z.number()), prefill: z.array(z.number()) }) });

/** From the experts that tokens really got in the same evaluation, where that was measured. */
function realisedBytes({ mixsga }: ParsedResults, routing: string | null): number {
  const { kv, tasks } = mixsga!;
  const found = Object.values(tasks).flatMap(({ evaluator, details }) => (evaluator === 'routing' ? routed.safeParse(details).data ?? [] : []))[0];
  const { realised } = kvAccounting({ kv }, found);
  return realised && (routing === 'decode' || routing === 'prefill') ? realised[routing].kvBytesPerToken : kv.bytesPerToken;
}

/** A model's variants together, the one of the largest cache first, then by what goes out of it. */
function inOrder(a: Measurement, b: Measurement): number {
  const key = ({ attention, kvType, eviction, byteBudget, routing }: Measurement) => JSON.stringify([attention, kvType, eviction ?? '', byteBudget ?? '', routing]);
  return a.model.localeCompare(b.model) || (b.kvBudget ?? 0) - (a.kvBudget ?? 0) || (key(a) < key(b) ? -1 : 1);
}

function withErrors(metrics: Readonly<Record<string, number | null>>): Record<string, Metric> {
  const names = Object.keys(metrics).filter((name) => !name.endsWith('_stderr'));
  return Object.fromEntries(names.map((name) => [name, { value: metrics[name] ?? null, stderr: metrics[`${name}_stderr`] ?? null }]));
}

/** Model and attention, as in `sotu-mini (mixsga:3:1:6)`. */
export function modelLabel({ model, attention }: Pick<Measurement, 'model' | 'attention'>): string {
  return attention === null ? model : `${model} (${attention})`;
}

const shares = z.array(z.number());
const byRule = <T extends z.ZodType>(value: T) => z.object({ decode: value, prefill: value });
const routingDetails = z.object({
  groupSizes: z.array(z.number()),
  windowLength: z.number(),
  perLayer: z.array(z.object({ ratios: byRule(shares) })),
  overPosition: byRule(z.array(shares.nullable())),
  byToken: z.array(z.object({ text: z.string().optional(), id: z.number(), count: z.number(), ratios: shares })),
});
const importanceDetails = z.object({
  windows: z.array(z.object({ perplexity: z.number(), tokens: z.array(z.string()), changes: z.array(z.number()) })),
});

const RETRIEVAL = ['ruler', 'passkey'];
const share = z.number().min(0).max(1);
const retrievalDetails = z.object({
  scores: z.array(z.object({ task: z.string(), length: z.number().int().positive(), depth: share.nullable(), score: share, samples: z.number() })).max(10_000),
});

/** What `routing` tells of a model that routes; null for another task, and for a model that does not. @throws FileError */
export function routingOf({ evaluator, details, path, task }: Measurement): RoutingDetails | null {
  if (evaluator !== 'routing' || (Array.isArray(details.perLayer) && details.perLayer.length === 0)) return null;
  return checked(routingDetails, details, path, task) as RoutingDetails;
}

/** The windows of `token_importance`; none of another task. @throws FileError */
export function importanceOf({ evaluator, details, path, task }: Measurement): readonly ImportanceWindow[] {
  return evaluator === 'token_importance' ? checked(importanceDetails, details, path, task).windows : [];
}

/** The scores of `ruler` and `passkey` by task, length and depth; none of another task. @throws FileError */
export function retrievalOf({ evaluator, details, path, task }: Measurement): readonly RetrievalCell[] {
  return RETRIEVAL.includes(evaluator ?? '') ? checked(retrievalDetails, details, path, task).scores : [];
}

/** Looks at what the pictures of a results file are made of. @throws FileError for details that are broken */
export function checkDetails(found: Found<ParsedResults>): void {
  for (const measurement of measurementsOf({ results: [found] }).measurements) {
    routingOf(measurement);
    importanceOf(measurement);
    retrievalOf(measurement);
  }
}

function checked<T extends z.ZodType>(schema: T, details: unknown, path: string, task: string): z.output<T> {
  const result = schema.safeParse(details);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new FileError(path, `mixsga.tasks.${task}.details.${issue.path.join('.')}: ${issue.message}`);
}
