import { ArgumentError } from '@mixsga/backend';
import { familyNamed, familyNames } from '@mixsga/models';
import { type EstimatorKind, gradientEstimators, routerNames } from '@mixsga/router';
import { z } from 'zod';

import { oneOf } from './strict';
import { tasksConfig } from './tasks';

const estimatorKinds = Object.keys(gradientEstimators) as EstimatorKind[];

const count = z.number().int().positive();
const share = z.number().min(0).max(1);

/** A model to start anew, with random weights. */
const initialModel = z
  .strictObject({
    /** A family of @mixsga/models. */
    family: oneOf(familyNames).default('opt'),
    layers: count,
    hiddenSize: count,
    heads: count,
    /** KV heads, of families that have them apart; default: as many as heads. */
    kvHeads: count.optional(),
    ffnSize: count,
    /** Longest sequence, in tokens. */
    contextLength: count,
  })
  .refine(({ hiddenSize, heads }) => hiddenSize % heads === 0, 'expected heads that divide hiddenSize')
  .refine(({ heads, kvHeads = heads }) => heads % kvHeads === 0, 'expected kvHeads that divide heads')
  .superRefine(({ family, kvHeads, ...sizes }, context) => {
    try {
      familyNamed(family).sized({ ...sizes, kvHeads: kvHeads ?? sizes.heads, vocabularySize: 1 });
    } catch (error) {
      if (!ArgumentError.isInstance(error)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  });

export type InitialModel = z.output<typeof initialModel>;

const router = z.strictObject({
  /** A router of @mixsga/router's catalog. */
  kind: oneOf(routerNames).default('sigmoid'),
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
    /** Whether heads are aligned before they are grouped, on conversion to `attention`. */
    align: z.boolean().optional(),
  })
  .refine((m) => (m.from === undefined) !== (m.init === undefined), 'expected exactly one of model.from and model.init')
  .refine(({ from, align }) => align !== true || from !== undefined, { path: ['align'], message: 'expected model.from with it, got model.init' });

const dataConfig = z
  .strictObject({
    /** A text to go on with: `sotu`, a file or folder of text, JSON Lines or Parquet, or a data set of the hub. */
    corpus: z.string().optional(),
    /** Instructions with responses, of which the responses are learned; instead of a corpus. */
    instructions: z.string().optional(),
    /** Which of the files of a folder or data set: a file, a folder or a pattern with `*`. */
    files: z.string().optional(),
    /** The field of a corpus' rows that holds the text. */
    textField: z.string().optional(),
    /** Leaves out broken rows in place of failing. */
    skipBroken: z.boolean().optional(),
    /** Longest prompt of instructions, in tokens; rows with a longer one are left out. Default: 256, and below sequenceLength. */
    maxPromptTokens: count.optional(),
    /** Rows of instructions to validate and to test on, where the set has no parts of its own. Default: 5 % each. */
    split: z.strictObject({ validation: count.optional(), test: z.number().int().nonnegative().optional() }).optional(),
    /** Tokens of the tokenizer that is trained for a new model; a continued model keeps its own. */
    vocabularySize: z.number().int().min(257).default(2048),
    /** A tokenizer.json to use for a new model instead of training one. */
    tokenizer: z.string().optional(),
  })
  .refine(({ corpus, instructions }) => corpus === undefined || instructions === undefined, 'expected one of data.corpus and data.instructions, got both')
  .refine(({ instructions, split, maxPromptTokens }) => instructions !== undefined || (split ?? maxPromptTokens) === undefined, {
    message: 'data.split and data.maxPromptTokens are of data.instructions; expected these with them',
  })
  .refine(({ instructions, textField }) => instructions === undefined || textField === undefined, {
    path: ['textField'],
    message: 'expected data.corpus with it, got data.instructions',
  })
  .transform(({ corpus, ...data }) => (data.instructions === undefined ? { ...data, corpus: corpus ?? 'sotu' } : { ...data, corpus: undefined }));

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

/** How the loss of the language model reaches routers, past a choice that has no gradient; without it, not at all. Of @mixsga/router's catalog. */
export const estimator = z.enum(estimatorKinds, {
  error: ({ input }) => (input === 'straight-through' ? 'expected importance, since straight-through gained nothing and was removed (docs/log.md)' : undefined),
});

/** What a single run and a comparison have in common. */
export const sharedConfig = {
  data: dataConfig.prefault({}),
  /** Tokens of a window; of instructions, the most of prompt and response together. */
  sequenceLength: count,
  /** Windows, or rows of instructions, of a batch. */
  batchSize: count,
  /** Batches whose gradients are averaged in one step. */
  accumulate: count.default(1),
  /** Tokens to train on in all, rounded up to whole steps; 0 converts and measures the model, and trains nothing. */
  tokens: z.number().int().nonnegative().optional(),
  /** How often to go through the training part, instead of tokens. */
  epochs: z.number().positive().optional(),
  optimizer: optimizerConfig,
  /** What routers learn from. */
  routerLoss: z
    .strictObject({
      /** α: weight of the consistency loss; the default did best in a sweep (docs/results.md). */
      alpha: z.number().nonnegative().default(3),
      /** Whether what routers learn stops at them, and does not bend the hidden states that they read. */
      detach: z.boolean().optional(),
      estimator: estimator.optional(),
    })
    .prefault({}),
  /** Draws the next-token distributions to those of a frozen teacher. */
  distillation: z
    .strictObject({
      /** Of the KL divergence from the teacher; the likelihood has the rest, so that 1 is the divergence alone, and 0 none of it. */
      weight: share,
      /** The name of a shipped model, an id of the hub, or a folder. Default: the model that is continued, as it was before its conversion. */
      teacher: z.string().optional(),
    })
    .optional(),
  /** Steps between two validations on part of the validation text, and one after the last step; 0: none. */
  evaluateEvery: z.number().int().nonnegative().default(100),
  /** Windows, or rows, of those validations, spread evenly over the validation part. Default: 32 windows; all rows of instructions. */
  evaluationWindows: count.optional(),
  /** The same of the validation at the end. Default: the whole validation part. */
  finalEvaluationWindows: count.optional(),
  /** Ends with the model of the validation with the lowest perplexity under decode routing. Default: with instructions. */
  keepBest: z.boolean().optional(),
  /** Steps between two checkpoints. */
  checkpointEvery: count.default(100),
  backend: z.enum(['wasm', 'cpu', 'webgpu', 'cuda', 'auto']).default('wasm'),
  /** What is measured of the trained model besides. */
  tasks: tasksConfig.default([]),
  /** Modules that register kinds of their own: files, or packages of the configuration's folder. Loaded before the rest is checked. */
  plugins: z.array(z.string()).optional(),
};

type Shared = z.output<z.ZodObject<typeof sharedConfig>>;

/** What the shared settings have to do with one another. */
export function checkShared<S extends z.ZodType<Shared>>(schema: S): S {
  return schema.superRefine((config: Shared, context) => {
    const { data, tokens, epochs, sequenceLength } = config;
    const fail = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if ((tokens === undefined) === (epochs === undefined)) {
      fail([tokens === undefined ? 'tokens' : 'epochs'], `expected exactly one of tokens and epochs, got ${tokens === undefined ? 'neither' : 'both'}`);
    } else if (data.instructions !== undefined && tokens !== undefined && tokens > 0) {
      fail(['tokens'], 'expected epochs in its place, with data.instructions');
    }
    if (data.maxPromptTokens !== undefined && data.maxPromptTokens >= sequenceLength) {
      fail(['data', 'maxPromptTokens'], `expected less than sequenceLength, ${sequenceLength}, got ${data.maxPromptTokens}`);
    }
    if (config.keepBest === true && config.evaluateEvery === 0) fail(['keepBest'], 'expected evaluateEvery above 0 with it, got 0');
  }) as S;
}

/** Configuration of one training run: what `mixsga train CONFIG.json` reads. Unknown keys are errors. */
export const runConfig = checkShared(
  z.strictObject({
    kind: z.literal('run').default('run'),
    model,
    ...sharedConfig,
    seed: z.number().int().nonnegative().default(0),
  }),
).refine(({ model, distillation }) => model.from !== undefined || !distillation || distillation.teacher !== undefined, {
  path: ['distillation', 'teacher'],
  message: 'expected a model, since there is no model.from',
});

export type RunConfigInput = z.input<typeof runConfig>;
export type RunConfig = z.output<typeof runConfig>;

/** Tokens that one optimizer step reads. */
function tokensPerStep(config: Pick<RunConfig, 'accumulate' | 'batchSize' | 'sequenceLength'>): number {
  return config.batchSize * config.accumulate * config.sequenceLength;
}

/** @param stepsPerEpoch that the training part makes, not rounded */
export function totalSteps(config: RunConfig, stepsPerEpoch: number): number {
  return Math.ceil(config.epochs === undefined ? config.tokens! / tokensPerStep(config) : config.epochs * stepsPerEpoch);
}

/** Warm-up steps. @param steps of the whole run */
export function warmupSteps({ optimizer }: RunConfig, steps: number): number {
  return optimizer.warmupSteps ?? Math.max(1, Math.round(optimizer.warmupRatio * steps));
}

export function keepsBest({ keepBest, evaluateEvery, data }: RunConfig): boolean {
  return keepBest ?? (data.instructions !== undefined && evaluateEvery > 0);
}
