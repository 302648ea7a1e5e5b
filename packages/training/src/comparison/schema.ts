import { FileError } from '@mixsga/backend';
import { z } from 'zod';

const share = z.number().min(0).max(1);
const ratios = z.array(share).min(1);
/** A value under each routing rule. */
const both = <T extends z.ZodType>(value: T) => z.strictObject({ decode: value, prefill: value });

/** One trained model: a method with a seed. */
const method = z.strictObject({
  /** Name of the method, the same for all its seeds. */
  name: z.string().min(1),
  /** Which methods are one at several KV budgets: a line of the plot. */
  series: z.string().min(1).optional(),
  /** Attention variant, such as `gqa:2` or `mixsga:3:1:6`. */
  attention: z.string().min(1),
  /** Kind of the router, where it is not the trained one of the paper. */
  router: z.string().optional(),
  /** Whether heads were aligned before they were grouped. */
  align: z.boolean().optional(),
  /** Weight α of the router's consistency loss. */
  alpha: z.number().nonnegative().optional(),
  /** Highest learning rate of the run. */
  learningRate: z.number().positive().optional(),
  seed: z.number().int().nonnegative(),
  /** Share of the unmodified model's KV cache as asked for, the expert index not counted. */
  kvBudget: z.number().positive(),
  /** Bytes of KV cache per token as asked for, all layers, the expert index counted. */
  kvBytesPerToken: z.number().positive(),
  /** Tokens trained on, the base model's own training not counted. */
  tokens: z.number().int().nonnegative(),
  /** Windowed token perplexity of the validation text. */
  perplexity: both(z.number().positive()),
  /** Share of tokens to which both routing rules give the same expert; null where the method does not route. */
  agreement: share.nullable(),
  /** Share of the tokens that each expert got, mean over layers; null where the method does not route. */
  realisedRatios: both(ratios).nullable(),
  /** Share of the unmodified KV cache that those ratios cost; null where the method does not route. */
  realisedKvBudget: both(z.number().positive()).nullable().optional(),
  /** The same in bytes per token, all layers, the expert index counted. */
  realisedKvBytesPerToken: both(z.number().positive()).nullable().optional(),
  /** What the comparison's tasks found, by their names. */
  evaluations: z
    .record(
      z.string(),
      z.strictObject({
        /** The evaluator. */
        task: z.string().min(1),
        routing: z.enum(['decode', 'prefill']),
        /** By their names in the literature; null where there is none to give. */
        metrics: z.record(z.string(), z.number().nullable()),
      }),
    )
    .optional(),
});

/** What `report.json` holds. The version in `schema` changes when a reader would have to; version 1 had no `evaluations`. */
export const reportSchema = z.strictObject({
  schema: z.enum(['mixsga/report@2', 'mixsga/report@1']),
  /** Backend that trained and evaluated: wasm, cpu, webgpu or cuda. */
  backend: z.string().min(1),
  /** Name of the corpus. */
  corpus: z.string().min(1),
  /** The unmodified base model. */
  model: z.strictObject({
    parameters: z.number().int().positive(),
    layers: z.number().int().positive(),
    heads: z.number().int().positive(),
    hidden: z.number().int().positive(),
  }),
  /** Wall-clock time of the whole comparison. */
  seconds: z.number().nonnegative(),
  methods: z.array(method).min(1),
});

export type Report = z.output<typeof reportSchema>;
export type MethodResult = Report['methods'][number];

/** Checks a report. @throws FileError that names the field, with `path` as the file it is about */
export function parseReport(value: unknown, path = 'report.json'): Report {
  const result = reportSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new FileError(path, `${issue.path.join('.') || 'report'}: ${issue.message}`);
}
