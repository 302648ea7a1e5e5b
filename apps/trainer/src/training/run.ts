import { join } from 'node:path';

import { startBackend } from '@mixsga/backend';

import { BatchSampler } from '../data/batch-sampler';
import { loadCorpus, textsForTokenizer } from '../data/corpus';
import { tokenizeCorpus, type TokenizedCorpus } from '../data/tokenized-corpus';
import { JsonlWriter } from '../metrics/jsonl';
import { TensorBoardWriter } from '../metrics/tensorboard';
import { CheckpointStore } from './checkpoint';
import { type RunConfig, tokensPerStep, totalSteps, warmupSteps } from './config';
import { writeFileAtomic } from './files';
import { Interrupted } from './interruption';
import { trainLoop } from './loop';
import { languageModel, modelFacts, type ModelFacts, type OpenModel, openModel, saveModel } from './model';
import { readingProgress } from './progress';
import type { Reporter } from './reporter';
import { checkRunFolder, claimRunFolder, readJsonIfThere } from './run-folder';
import { type RoutedText, routeText } from './routed-text';
import { Trainer } from './trainer';
import { type Validation, type ValidationOptions, validate, validationMetrics } from './validation';

/** What a finished run leaves in result.json. */
export interface RunResult extends Validation {
  attention: string;
  seed: number;
  backend: string;
  corpus: string;
  model: ModelFacts;
  kvBudget: number;
  kvBytesPerToken: number;
  /** Tokens trained on by this run. */
  tokens: number;
  /** The beginning of the validation text with the expert of each token; null where the model does not route. */
  routedText: RoutedText | null;
}

export interface RunOptions {
  /** Continue a run that the folder holds. */
  resume: boolean;
  signal: AbortSignal;
  reporter: Reporter;
}

/**
 * Trains one model as its configuration says. The folder gets run.json, metrics.jsonl, TensorBoard events,
 * checkpoints/, the trained model (config.json, model.safetensors, tokenizer.json), and last of all result.json.
 *
 * @throws ArgumentError for a folder that holds another run; FileError when something cannot be read or written;
 *   Interrupted when the signal aborted, with a checkpoint saved.
 */
export async function runTraining(config: RunConfig, folder: string, options: RunOptions): Promise<RunResult> {
  const { reporter } = options;
  await checkRunFolder(folder, config, options.resume);
  const finished = await readJsonIfThere(join(folder, 'result.json'));
  if (finished !== undefined) {
    reporter.message(`${folder}: this run is finished already`);
    return finished as RunResult;
  }
  const backend = await startBackend(config.backend);
  const corpus = await loadCorpus(config.data.corpus);
  const open = await openModel(config, () => textsForTokenizer(corpus), folder, reporter);
  try {
    const tokens = await tokenizeCorpus(corpus, open.tokenizer, {
      signal: options.signal,
      onProgress: readingProgress('encoding', corpus.bytes, reporter),
    });
    reporter.message(tokens.description);
    // Only now, when all that was asked for is there and fits together, is anything written.
    await claimRunFolder(folder, config);
    await writeFileAtomic(join(folder, 'tokenizer.json'), open.tokenizer.save());
    await train(config, folder, open, tokens, options);
    reporter.message('measuring the perplexity of the validation text under both routings');
    const validation = await finalValidation(config, open, tokens.validation, options.signal);
    const evaluated = languageModel(open.model);
    const result: RunResult = {
      attention: open.model.attention.spec,
      seed: config.seed,
      backend: backend.name,
      corpus: corpus.name,
      model: modelFacts(open.model),
      kvBudget: evaluated.kv.budget,
      kvBytesPerToken: evaluated.kv.bytesPerToken,
      tokens: totalSteps(config) * tokensPerStep(config),
      ...validation,
      routedText: await routeText(evaluated, open.tokenizer, tokens.validation),
    };
    await saveModel(folder, open);
    await writeFileAtomic(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } finally {
    open.model.dispose();
  }
}

/** Trains from the newest checkpoint, or from the start, to the last step. */
async function train(
  config: RunConfig,
  folder: string,
  { model }: OpenModel,
  tokens: TokenizedCorpus,
  { reporter, signal }: RunOptions,
): Promise<void> {
  const trainer = new Trainer(model, {
    schedule: { ...config.optimizer, warmupSteps: warmupSteps(config), totalSteps: totalSteps(config) },
    optimizer: config.optimizer,
    clip: config.optimizer.clip,
    alpha: config.routerLoss.alpha,
    sequenceLength: config.sequenceLength,
  });
  const sampler = new BatchSampler(tokens.train, config);
  const checkpoints = new CheckpointStore(join(folder, 'checkpoints'));
  const restored = await checkpoints.restore({ model: model.parameters(), optimizer: trainer.adamw.state() });
  if (restored) {
    sampler.restore(restored.sampler);
    trainer.step = restored.step;
    reporter.message(`resumed at step ${restored.step} of ${totalSteps(config)}`);
  }
  const rows = new JsonlWriter(join(folder, 'metrics.jsonl'), trainer.step);
  const events = new TensorBoardWriter(folder, trainer.step);
  try {
    const reached = await trainLoop({
      model,
      trainer,
      sampler,
      checkpoints,
      totalSteps: totalSteps(config),
      accumulate: config.accumulate,
      tokensPerStep: tokensPerStep(config),
      checkpointEvery: config.checkpointEvery,
      evaluateEvery: config.evaluateEvery,
      evaluate: async () =>
        validationMetrics(
          await validate(languageModel(model), tokens.validation, windowsOf(config, config.evaluationWindows)),
        ),
      record: (row) => {
        rows.write(row);
        const { kind, step, ...values } = row;
        const scalars = Object.entries(values).map(([name, value]) => [`${kind}/${name}`, value]);
        events.write(step, Object.fromEntries(scalars) as Record<string, number>);
      },
      onProgress: reporter.progress,
      signal,
    });
    if (!reached) throw new Interrupted(`stopped at step ${trainer.step} of ${totalSteps(config)}, with a checkpoint`);
  } finally {
    rows.close();
    events.close();
    trainer.dispose();
  }
}

async function finalValidation(
  config: RunConfig,
  { model }: OpenModel,
  tokens: Int32Array,
  signal: AbortSignal,
): Promise<Validation> {
  try {
    return await validate(languageModel(model), tokens, { ...windowsOf(config, config.finalEvaluationWindows), signal });
  } catch (error) {
    if (signal.aborted) throw new Interrupted('stopped after the last step, with a checkpoint');
    throw error;
  }
}

function windowsOf(config: RunConfig, maxWindows: number | undefined): ValidationOptions {
  return {
    windowLength: config.sequenceLength,
    batchSize: config.batchSize,
    ...(maxWindows === undefined ? {} : { maxWindows }),
  };
}
