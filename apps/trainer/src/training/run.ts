import { join } from 'node:path';

import { type BackendName, startBackend } from '@mixsga/backend';

import { BatchSampler } from '../data/batch-sampler';
import { type Corpus, loadCorpus } from '../data/corpus';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import { JsonlWriter } from '../metrics/jsonl';
import { TensorBoardWriter } from '../metrics/tensorboard';
import { CheckpointStore } from './checkpoint';
import { type RunConfig, tokensPerStep, totalSteps, warmupSteps } from './config';
import { writeFileAtomic } from './files';
import { Interrupted } from './interruption';
import { type MetricRow, trainLoop } from './loop';
import { languageModel, type OpenModel, openModel, saveModel } from './model';
import type { Reporter } from './reporter';
import { claimRunFolder, readJsonIfThere } from './run-folder';
import { Trainer } from './trainer';
import { type Validation, validate, validationMetrics } from './validation';

/** What a finished run leaves in result.json. */
export interface RunResult extends Validation {
  attention: string;
  seed: number;
  backend: string;
  corpus: string;
  model: { parameters: number; layers: number; heads: number; hidden: number };
  kvBudget: number;
  kvBytesPerToken: number;
  /** Tokens trained on by this run. */
  tokens: number;
  /** Predictions that the perplexity is the mean of. */
  validationTokens: number;
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
  const { reporter, signal } = options;
  await claimRunFolder(folder, config, options.resume);
  const finished = await readJsonIfThere(join(folder, 'result.json'));
  if (finished !== undefined) {
    reporter.message(`${folder}: this run is finished; its result is in result.json`);
    return finished as RunResult;
  }
  const backend = await startBackend(config.backend as BackendName);
  const corpus = await loadCorpus(config.data.corpus);
  reporter.message(corpus.description);
  const open = await openModel(config, corpus, folder, reporter);
  const tokens = await tokenizeCorpus(corpus, open.tokenizer);
  const reached = await train(config, folder, open, tokens, options);
  if (!reached) throw new Interrupted('stopped; a checkpoint is saved');

  reporter.message('measuring validation perplexity under both routings');
  const evaluated = languageModel(open.model);
  const windows = config.finalEvaluationWindows;
  const validation = await validate(evaluated, tokens.validation, {
    windowLength: config.sequenceLength,
    batchSize: config.batchSize,
    maxWindows: windows,
    signal,
  }).catch((error: unknown) => {
    throw signal.aborted ? new Interrupted('stopped; the last checkpoint is saved') : error;
  });
  await saveModel(folder, open);
  const { parameters, layers, heads, hidden } = describeModel(open);
  const result: RunResult = {
    attention: open.model.attention.spec,
    seed: config.seed,
    backend: backend.name,
    corpus: corpus.name,
    model: { parameters, layers, heads, hidden },
    kvBudget: evaluated.kv.budget,
    kvBytesPerToken: evaluated.kv.bytesPerToken,
    tokens: totalSteps(config) * tokensPerStep(config),
    ...validation,
  };
  await writeFileAtomic(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
  open.model.dispose();
  return result;
}
