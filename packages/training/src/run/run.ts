import { join } from 'node:path';

import { ArgumentError, expectOptions, startBackend } from '@mixsga/backend';
import { writeFileAtomic } from '@mixsga/models';

import { JsonlWriter } from '../metrics/jsonl';
import { TensorBoardWriter } from '../metrics/tensorboard';
import { type Best, BestModel } from '../checkpoints/best-model';
import { calibrate } from '../optimisation/calibrate';
import { CheckpointStore } from '../checkpoints/checkpoint';
import { keepsBest, type RunConfig, totalSteps, warmupSteps } from '../config/run-config';
import { Interrupted } from '../process/interruption';
import { trainLoop } from '../optimisation/loop';
import { likelihoodModel, modelFacts, type ModelFacts } from './likelihood-model';
import { type OpenModel, openModel, saveModel } from './model';
import type { Reporter } from '../progress/reporter';
import { type RoutedText, routeText } from './routed-text';
import { checkRunFolder, claimRunFolder, readJsonIfThere } from './run-folder';
import { openTeacher } from './teacher';
import { type Teacher, Trainer } from '../optimisation/trainer';
import { findTrainingData, type RowCounts, type TrainingData } from './training-data';
import { type Validation, validationMetrics } from './validation';

/** What a finished run leaves in result.json. */
export interface RunResult extends Validation {
  attention: string;
  seed: number;
  backend: string;
  /** Name of the text or of the instructions. */
  corpus: string;
  /** What the instructions were split into; null of a text. */
  rows: RowCounts | null;
  /** The step whose model was kept, and what it measured then; null where the last one was. */
  best: Best | null;
  model: ModelFacts;
  kvBudget: number;
  kvBytesPerToken: number;
  /** Tokens trained on by this run, padding not counted. */
  tokens: number;
  /** The beginning of the validation part with the expert of each token; null where the model does not route. */
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
 * checkpoints/, of instructions the rows kept out of training (validation.jsonl, test.jsonl), the trained model (config.json,
 * model.safetensors, tokenizer.json), and last of all result.json.
 *
 * @throws ArgumentError for a folder that holds another run; FileError when something cannot be read or written;
 *   Interrupted when the signal aborted, with a checkpoint saved.
 */
export async function runTraining(config: RunConfig, folder: string, options: RunOptions): Promise<RunResult> {
  expectOptions('runTraining', options, { resume: true, signal: true, reporter: true });
  const { reporter } = options;
  await checkRunFolder(folder, config, options.resume);
  const finished = await readJsonIfThere(join(folder, 'result.json'));
  if (finished !== undefined) {
    reporter.message(`${folder}: this run is finished already`);
    return finished as RunResult;
  }
  const backend = await startBackend(config.backend);
  const found = await beforeTraining(options, () => findTrainingData(config, options));
  const open = await openModel(config, found.texts, folder, reporter);
  let data: TrainingData | undefined;
  let teacher: Awaited<ReturnType<typeof openTeacher>> = null;
  try {
    checkContext(config, open);
    if (config.routerLoss.estimator) open.model.checkEstimator();
    data = await beforeTraining(options, () => found.encode(open.tokenizer, [open.model.config.eos_token_id ?? []].flat()[0]));
    reporter.message(data.description);
    teacher = await openTeacher(config, open);
    // Only now, when all that was asked for is there and fits together, is anything written.
    await claimRunFolder(folder, config);
    await writeFileAtomic(join(folder, 'tokenizer.json'), open.tokenizer.save());
    for (const [name, content] of data.files) await writeFileAtomic(join(folder, name), content);
    const { tokens, best } = await train(config, folder, { ...open, teacher }, data, options);
    reporter.message(`measuring the perplexity of the validation ${data.rows ? 'responses' : 'text'} under both routings`);
    const validation = await finalValidation(config, open, data, options.signal);
    const evaluated = likelihoodModel(open.model);
    const result: RunResult = {
      attention: open.model.attention.spec,
      seed: config.seed,
      backend: backend.name,
      corpus: found.name,
      rows: data.rows,
      best,
      model: modelFacts(open.model),
      kvBudget: evaluated.kv.budget,
      kvBytesPerToken: evaluated.kv.bytesPerToken,
      tokens,
      ...validation,
      routedText: await routeText(evaluated, open.tokenizer, data.beginning),
    };
    await saveModel(folder, open, { source: config.model.from, tokens });
    await writeFileAtomic(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } finally {
    data?.close();
    teacher?.model.dispose();
    open.model.dispose();
  }
}

async function beforeTraining<T>({ signal }: RunOptions, body: () => Promise<T>): Promise<T> {
  return body().catch((error: unknown) => {
    throw signal.aborted ? new Interrupted('stopped before training') : error;
  });
}

/** @throws ArgumentError when windows are longer than the model's context: found before anything is read or written */
function checkContext({ sequenceLength }: RunConfig, { model }: OpenModel): void {
  const { contextLength } = model.shape;
  if (sequenceLength <= contextLength) return;
  throw new ArgumentError(`sequenceLength: expected at most ${contextLength}, the model's context length, got ${sequenceLength}`);
}

/**
 * Trains from the newest checkpoint, or from the start, to the last step. The model is then the last one, or the best.
 *
 * @returns the real tokens that were trained on, and which model was kept
 */
async function train(
  config: RunConfig,
  folder: string,
  { model, teacher }: Pick<OpenModel, 'model'> & { teacher: Teacher | null },
  data: TrainingData,
  { reporter, signal }: RunOptions,
): Promise<Pick<RunResult, 'tokens' | 'best'>> {
  const steps = totalSteps(config, data.stepsPerEpoch);
  const { learningRate, minLearningRateRatio, beta1, beta2, epsilon, weightDecay } = config.optimizer;
  const trainer = new Trainer(model, {
    schedule: { learningRate, minLearningRateRatio, warmupSteps: warmupSteps(config, steps), totalSteps: steps },
    optimizer: { beta1, beta2, epsilon, weightDecay },
    clip: config.optimizer.clip,
    routerLoss: config.routerLoss,
    sequenceLength: config.sequenceLength,
    ...(teacher && { teacher }),
  });
  const directory = join(folder, 'checkpoints');
  const checkpoints = new CheckpointStore(directory, reporter.warning);
  const restored = await checkpoints.restore({ model: model.parameters(), optimizer: trainer.adamw.state() });
  if (restored) {
    data.sampler.restore(restored.sampler);
    trainer.step = restored.step;
    reporter.message(`resumed at step ${restored.step} of ${steps}`);
  }
  const kept = keepsBest(config) ? await BestModel.open(join(directory, 'best'), trainer.step) : null;
  const rows = new JsonlWriter(join(folder, 'metrics.jsonl'), trainer.step);
  const events = new TensorBoardWriter(folder, trainer.step);
  // Of a text a part tells enough, and often; of instructions each row is another task.
  const limit = config.evaluationWindows ?? (data.rows ? undefined : 32);
  try {
    const { reached, tokens } = await trainLoop({
      model,
      trainer,
      sampler: data.sampler,
      checkpoints,
      totalSteps: steps,
      accumulate: config.accumulate,
      tokensBefore: restored?.tokens ?? 0,
      checkpointEvery: config.checkpointEvery,
      evaluateEvery: config.evaluateEvery,
      evaluate: async (step) => {
        const validation = await data.validate(likelihoodModel(model), { limit });
        await kept?.offer({ step, perplexity: validation.perplexity.decode }, model.parameters());
        return validationMetrics(validation);
      },
      record: (row) => {
        rows.write(row);
        const { kind, step, ...values } = row;
        const scalars = Object.entries(values).map(([name, value]) => [`${kind}/${name}`, value]);
        events.write(step, Object.fromEntries(scalars) as Record<string, number>);
      },
      onProgress: reporter.progress,
      signal,
    });
    if (!reached) throw new Interrupted(`stopped at step ${trainer.step} of ${steps}, with a checkpoint`);
    const best = kept?.best ?? null;
    if (best) {
      await kept!.restore(model.parameters());
      reporter.message(`kept the model of step ${best.step} of ${steps}, with a validation perplexity of ${best.perplexity.toFixed(3)}`);
    }
    await calibrate(model, data.sampler, config.sequenceLength);
    return { tokens, best };
  } finally {
    rows.close();
    events.close();
    trainer.dispose();
  }
}

async function finalValidation(config: RunConfig, { model }: OpenModel, data: TrainingData, signal: AbortSignal): Promise<Validation> {
  try {
    return await data.validate(likelihoodModel(model), { limit: config.finalEvaluationWindows, signal });
  } catch (error) {
    if (signal.aborted) throw new Interrupted('stopped after the last step, with a checkpoint');
    throw error;
  }
}
