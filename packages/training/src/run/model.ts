import { join } from 'node:path';

import {
  companionFiles,
  convertConfig,
  createTokenizer,
  createTrainable,
  expectTrainingFits,
  type LoadOptions,
  loadTokenizer,
  machineLimits,
  type ModelConfig,
  type ModelHistory,
  modelShape,
  openModelCheckpoint,
  parseAttention,
  parseModelConfig,
  randomParameters,
  saveModel as saveWeights,
  type Tokenizer,
  trainableOf,
  type TrainableModel,
} from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';

import { trainBpe } from '../data/bpe';
import type { RunConfig } from '../config/run-config';
import { initialConfig } from './initial-model';
import type { Reporter } from '../progress/reporter';
import { readJsonIfThere } from './run-folder';

/** A model on the active backend with its tokenizer. */
export interface OpenModel {
  model: TrainableModel;
  tokenizer: Tokenizer;
  /** Files of the model that is continued, to be saved beside the trained one: settings of its tokenizer and of generation. */
  companions: ReadonlyMap<string, Uint8Array>;
}

/**
 * The model that a run starts from: with random weights and a tokenizer of its own, or another model, converted to
 * the attention that the run asks for.
 *
 * @param texts to train a tokenizer on
 * @param folder of the run: a tokenizer that it holds already is not trained again
 */
export async function openModel(
  config: RunConfig,
  texts: () => Promise<string[]>,
  folder: string,
  reporter: Pick<Reporter, 'message'>,
): Promise<OpenModel> {
  const { from, init } = config.model;
  if (from !== undefined) return continuedModel(config, from);
  const attention = parseAttention(config.model.attention ?? 'mha');
  attention.validate(modelShape(parseModelConfig(initialConfig(init!, 1), 'model.init')));
  const tokenizer = await newTokenizer(config, texts, folder, reporter);
  const mixsga = attention.spec === 'mha' ? {} : { mixsga: mixsgaKey(config) };
  const modelConfig = parseModelConfig({ ...initialConfig(init!, tokenizer.vocabularySize), ...mixsga }, 'model.init');
  await expectFits(config, modelConfig);
  return { model: await createTrainable(modelConfig, randomParameters(modelConfig, config.seed)), tokenizer, companions: new Map() };
}

/** Saves config.json, model.safetensors, tokenizer.json and what else belongs to the model, all of them or none. */
export async function saveModel(folder: string, { model, tokenizer, companions }: OpenModel, history?: ModelHistory): Promise<void> {
  await saveWeights(model, folder, { history, files: new Map<string, Uint8Array | string>([...companions, ['tokenizer.json', tokenizer.save()]]) });
}

async function continuedModel(config: RunConfig, from: string): Promise<OpenModel> {
  const checkpoint = await openModelCheckpoint(from, { check: ({ modelConfig }) => expectFits(config, withAttention(modelConfig, config)) });
  try {
    const own = parseAttention(modelShape(checkpoint.modelConfig).attention).spec;
    const tokenizer = await checkpoint.createTokenizer();
    const companions = await companionFiles(checkpoint);
    return { model: await trainableOf(checkpoint, conversionOf(config, own)), tokenizer, companions };
  } finally {
    await checkpoint.tensors.close();
  }
}

function withAttention(model: ModelConfig, config: RunConfig): ModelConfig {
  const { attention } = config.model;
  if (attention === undefined || parseAttention(attention).spec === parseAttention(modelShape(model).attention).spec) return model;
  return convertConfig(model, attention);
}

/** @throws BackendError naming batchSize and sequenceLength, before anything is loaded */
async function expectFits({ batchSize, sequenceLength, accumulate, distillation }: RunConfig, model: ModelConfig): Promise<void> {
  const load = { batchSize, sequenceLength, accumulate, distillation: distillation !== undefined };
  expectTrainingFits(model, load, tf.getBackend(), await machineLimits(false));
}

/** How a model is loaded, given the attention variant that it has. */
function conversionOf(config: RunConfig, own: string): LoadOptions {
  const asked = parseAttention(config.model.attention ?? own).spec;
  const { router, align = false } = config.model;
  if (asked === own && router === undefined && !align) return {};
  const { kind, seed } = routerOf(config);
  return { attention: asked, router: kind, routerSeed: seed, align };
}

function mixsgaKey(config: RunConfig): Record<string, unknown> {
  const { kind, seed } = routerOf(config);
  const { attention } = config.model;
  return parseAttention(attention!).experts ? { attention, router: kind, routerSeed: seed } : { attention };
}

function routerOf(config: RunConfig): { kind: string; seed: number } {
  const { kind = 'sigmoid', seed = config.seed } = config.model.router ?? {};
  return { kind, seed };
}

async function newTokenizer(
  config: RunConfig,
  texts: () => Promise<string[]>,
  folder: string,
  reporter: Pick<Reporter, 'message'>,
): Promise<Tokenizer> {
  if (config.data.tokenizer !== undefined) return loadTokenizer(config.data.tokenizer);
  const path = join(folder, 'tokenizer.json');
  const earlier = await readJsonIfThere(path);
  if (earlier !== undefined) return createTokenizer(earlier, path);
  reporter.message(`training a tokenizer of ${config.data.vocabularySize} tokens`);
  return createTokenizer(trainBpe(await texts(), config.data.vocabularySize), path);
}
