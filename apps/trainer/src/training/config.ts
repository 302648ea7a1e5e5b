import { type RouterKind, routers } from '@mixsga/router';
import { z } from 'zod';

import { tasksConfig } from './tasks';

/** The catalog's names: a router that is added there can be asked for here. */
export const routerKinds = Object.keys(routers) as RouterKind[];

const count = z.number().int().positive();
const share = z.number().min(0).max(1);

/** A model to start anew, with random weights. */
const initialModel = z.strictObject({
  family: z.literal('opt').default('opt'),
  layers: count,
  hiddenSize: count,
  heads: count,
  ffnSize: count,
  /** Longest sequence, in tokens. */
  contextLength: count,
}).refine(({ hiddenSize, heads }) => hiddenSize % heads === 0, 'expected heads that divide hiddenSize');

const router = z.strictObject({
  /** A router of @mixsga/router's catalog. */
  kind: z.enum(routerKinds).default('sigmoid'),
  seed: z.number().int().nonnegative().optional(),
});

const model = z
  .strictObject({
    /** A model to continue from: the name of a shipped one, or a folder. */
    from: z.string().optional(),
    init: initialModel.optional(),
    /** Attention variant; of a model that is continued, what it is converted to. Default: its own, or mha. */
    attention: z.string().optional(),
    router: router.optional(),
  })
  .refine((m) => (m.from === undefined) !== (m.init === undefined), 'expected exactly one of model.from and model.init');

const dataConfig = z.strictObject({
  /** `sotu`, or a text file, a folder of text files, or a JSONL file. */
  corpus: z.string().default('sotu'),
  /** Tokens of the tokenizer that is trained for a new model; a continued model keeps its own. */
  vocabularySize: z.number().int().min(257).default(2048),
  /** A tokenizer.json to use for a new model instead of training one. */
  tokenizer: z.string().optional(),
});

const optimizerConfig = z
  .strictObject({
    /** The highest learning rate of the schedule. */
    learningRate: z.number().positive(),
    beta1: share.default(0.9),
    beta2: share.default(0.95),
    epsilon: z.number().positive().default(1e-8),
    /** Decoupled, on matrices only. */
    weightDecay: z.number().nonnegative().default(0.1),
    /** Warm-up steps as a share of all steps. */
    warmupRatio: share.default(0.015),
    /** Warm-up steps as a number; takes the place of warmupRatio. */
    warmupSteps: count.optional(),
    /** Learning rate of the last step as a share of the highest. */
    minLearningRateRatio: share.default(0),
    /** Global gradient norm above which gradients are scaled down. */
    clip: z.number().positive().default(1),
  })
  .describe('AdamW, warm-up and cosine, clipping');

/** What a single run and a comparison have in common. */
export const sharedConfig = {
  data: dataConfig.prefault({}),
  /** Tokens of a window. */
  sequenceLength: count,
  /** Windows of a batch. */
  batchSize: count,
  /** Batches whose gradients are averaged in one step. */
  accumulate: count.default(1),
  /** Tokens to train on in all, rounded up to whole steps; 0 converts and measures the model, and trains nothing. */
  tokens: z.number().int().nonnegative(),
  optimizer: optimizerConfig,
  /** α: weight of the router's consistency loss; the default did best in a sweep (docs/results.md). */
  routerLoss: z.strictObject({ alpha: z.number().nonnegative() }).prefault({ alpha: 3 }),
  /** Steps between two validations on part of the validation text, and one after the last step; 0: none. */
  evaluateEvery: z.number().int().nonnegative().default(100),
  /** Windows of those validations, spread evenly over the validation text. */
  evaluationWindows: count.default(32),
  /** Windows of the validation at the end. Default: the whole validation text. */
  finalEvaluationWindows: count.optional(),
  /** Steps between two checkpoints. */
  checkpointEvery: count.default(100),
  backend: z.enum(['wasm', 'cpu', 'webgpu', 'cuda', 'auto']).default('wasm'),
  /** What is measured of the trained model besides. */
  tasks: tasksConfig.default([]),
};

/** Configuration of one training run: what `mixsga train CONFIG.json` reads. Unknown keys are errors. */
export const runConfig = z.strictObject({
  kind: z.literal('run').default('run'),
  model,
  ...sharedConfig,
  seed: z.number().int().nonnegative().default(0),
});

export type RunConfigInput = z.input<typeof runConfig>;
export type RunConfig = z.output<typeof runConfig>;

/** Tokens that one optimizer step reads. */
export function tokensPerStep(config: Pick<RunConfig, 'accumulate' | 'batchSize' | 'sequenceLength'>): number {
  return config.batchSize * config.accumulate * config.sequenceLength;
}

export function totalSteps(config: RunConfig): number {
  return Math.ceil(config.tokens / tokensPerStep(config));
}

export function warmupSteps(config: RunConfig): number {
  return config.optimizer.warmupSteps ?? Math.max(1, Math.round(config.optimizer.warmupRatio * totalSteps(config)));
}
