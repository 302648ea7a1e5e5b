import { join } from 'node:path';

import type { WeightType } from '@mixsga/backend';
import type { KvTraits, LanguageModel, LikelihoodModel } from '@mixsga/evaluators';
import { kvBytesPerToken } from '@mixsga/kv-cache';
import {
  convertModel,
  createDecoder,
  createTokenizer,
  loadTokenizer,
  OptModel,
  parseAttention,
  parseOptConfig,
  readCheckpoint,
  resolveModel,
  saveModel as saveWeights,
  type Tokenizer,
} from '@mixsga/models';
import type { RouterKind } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';

import { trainBpe } from '../data/bpe';
import type { RunConfig } from './config';
import { writeFileAtomic } from './files';
import type { Reporter } from './reporter';
import { readJsonIfThere } from './run-folder';
import { streamNll } from './stream-nll';

/** A model on the active backend with its tokenizer. */
export interface OpenModel {
  model: OptModel;
  tokenizer: Tokenizer;
}

/** Size and shape of a model, as reports give them. */
export interface ModelFacts {
  parameters: number;
  layers: number;
  heads: number;
  hidden: number;
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
  attention.validate({ kvHeads: init!.heads, layers: init!.layers });
  const tokenizer = await newTokenizer(config, texts, folder, reporter);
  const optConfig = parseOptConfig(
    {
      model_type: 'opt',
      vocab_size: tokenizer.vocabularySize,
      hidden_size: init!.hiddenSize,
      num_hidden_layers: init!.layers,
      num_attention_heads: init!.heads,
      ffn_dim: init!.ffnSize,
      max_position_embeddings: init!.contextLength,
      // The ids of OPT, which the tokenizers trained here have too.
      bos_token_id: 2,
      eos_token_id: 2,
      pad_token_id: 1,
      ...(attention.spec === 'mha' ? {} : { mixsga: mixsgaKey(config) }),
    },
    'model.init',
  );
  return { model: OptModel.create(optConfig, config.seed), tokenizer };
}

/** Loads a model by the name of a shipped one, or from a folder. */
export async function loadOpenModel(nameOrFolder: string): Promise<OpenModel> {
  const { directory } = await resolveModel(nameOrFolder);
  const { config, values } = await readCheckpoint(directory);
  return { model: new OptModel(config, values), tokenizer: await loadTokenizer(directory) };
}

/**
 * What the evaluators see of a model. Owns nothing: the model stays to be disposed by whoever opened it.
 * @param weights element type of the weights that go through a cache
 */
export function languageModel(model: OptModel, weights: WeightType = 'f32'): LikelihoodModel & Pick<LanguageModel, 'streamNll'> {
  /** Row-major [windows, T] as a tensor. */
  const windowed = (tokens: Int32Array, windows: number) => tf.tensor2d(tokens, [windows, tokens.length / windows], 'int32');
  return {
    contextLength: model.config.max_position_embeddings,
    kv: kvTraits(model),
    async likelihood(inputs, targets, { windows, routing }) {
      const nll = tf.tidy(() => model.tokenNll(windowed(inputs, windows), windowed(targets, windows), { routing }));
      try {
        return { nll: (await nll.data()) as Float32Array };
      } finally {
        nll.dispose();
      }
    },
    async routingOf(inputs, { windows, routing }) {
      const ids = windowed(inputs, windows);
      const layers = model.routingOf(ids, { routing });
      try {
        return await Promise.all(
          layers.map(async ({ prefill, decode }) => ({
            prefill: (await prefill.data()) as Int32Array,
            decode: (await decode.data()) as Int32Array,
          })),
        );
      } finally {
        ids.dispose();
        for (const { prefill, decode, scores } of layers) tf.dispose([prefill, decode, scores]);
      }
    },
    async streamNll(inputs, targets, options) {
      const decoder = await createDecoder(model.config, await valuesOf(model), { weights });
      try {
        return await streamNll(decoder, inputs, targets, options);
      } finally {
        decoder.dispose();
      }
    },
  };
}

/** Saves config.json, model.safetensors and tokenizer.json, each whole or not at all. */
export async function saveModel(folder: string, { model, tokenizer }: OpenModel): Promise<void> {
  await writeFileAtomic(join(folder, 'tokenizer.json'), tokenizer.save());
  await saveWeights(model, folder);
}

export function modelFacts(model: OptModel): ModelFacts {
  return {
    parameters: [...model.parameters().values()].reduce((sum, { size }) => sum + size, 0),
    layers: model.config.num_hidden_layers,
    heads: model.config.num_attention_heads,
    hidden: model.config.hidden_size,
  };
}

async function continuedModel(config: RunConfig, from: string): Promise<OpenModel> {
  const { directory } = await resolveModel(from);
  const source = await readCheckpoint(directory);
  const tokenizer = await loadTokenizer(directory);
  const own = source.config.mixsga?.attention ?? 'mha';
  const asked = config.model.attention ?? own;
  if (parseAttention(asked).spec === parseAttention(own).spec && config.model.router === undefined) {
    return { model: new OptModel(source.config, source.values), tokenizer };
  }
  const { kind, seed } = routerOf(config);
  const converted = convertModel(source.config, source.values, asked, { router: kind, routerSeed: seed });
  return { model: new OptModel(converted.config, converted.values), tokenizer };
}

function mixsgaKey(config: RunConfig): Record<string, unknown> {
  const { kind, seed } = routerOf(config);
  const { attention } = config.model;
  return parseAttention(attention!).experts ? { attention, router: kind, routerSeed: seed } : { attention };
}

function routerOf(config: RunConfig): { kind: RouterKind; seed: number } {
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

async function valuesOf(model: OptModel): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const [name, variable] of model.parameters()) values.set(name, (await variable.data()) as Float32Array);
  return values;
}

function kvTraits(model: OptModel): KvTraits {
  const { num_attention_heads: kvHeads, num_hidden_layers: layers, hidden_size: hidden } = model.config;
  const { attention } = model;
  const storing = Array.from({ length: layers }, (_, layer) => layer).filter((layer) => attention.kvSource(layer) === layer);
  const { groupSizes, ratios } = attention.experts ?? {
    groupSizes: [kvHeads / attention.storedKvHeads(kvHeads)],
    ratios: [1],
  };
  const layout = { kvHeads, headDim: hidden / kvHeads };
  return {
    bytesPerToken: kvBytesPerToken({ ...layout, layers: storing.length, groupSizes, ratios }),
    bytesPerTokenFull: kvBytesPerToken({ ...layout, layers, groupSizes: [1], ratios: [1] }),
    budget: attention.kvBudget,
    groupSizes,
    ratios,
  };
}
