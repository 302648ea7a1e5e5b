// What a model takes of memory: to run, by its workload, and to be trained, by its batch.
import { expectOptions, type KvType, type OptionNames, type WeightType } from '@mixsga/backend';
import { CACHE_SPEC, resolveCacheSpec, type CacheSpec } from '@mixsga/kv-cache';
import { parseAttention } from '../attention/index';
import type { AttentionVariant } from '../attention/variant';
import { modelShape, type ModelConfig } from '../config/shape';
import { kvBytes, modelCost, pooledBytes } from './cost';
import { familyOf } from '../families/index';

/** What a model is to do, as far as that is known before it is opened. */
export interface Workload {
  /** Sequences at a time, each with a cache of its own. Default 1. */
  readonly sequences?: number | undefined;
  /** Tokens that go through the model in one pass: a prompt, or a window of text. Default 0. */
  readonly passTokens?: number | undefined;
  /** Tokens that the cache of a sequence comes to hold: prompt and new ones. Default 0, no cache. */
  readonly cachedTokens?: number | undefined;
  /** What keeps the cache of a sequence small, or its text; only a limit in bytes counts, since a prompt is stored whole before tokens are evicted. */
  readonly cache?: string | CacheSpec | undefined;
}

export const WORKLOAD: OptionNames<Workload> = { sequences: true, passTokens: true, cachedTokens: true, cache: CACHE_SPEC };

/** Bytes. */
export interface RunningMemory {
  /** Of packed weights, with projections pooled for groups of heads. */
  readonly weights: number;
  /** Of the caches of all sequences. */
  readonly cache: number;
  /** Of what a pass has of every token: hidden states, queries, keys and values of one layer. */
  readonly pass: number;
}

/** The packed form of what a model runs with. */
export interface RunningTypes {
  readonly weights: WeightType;
  /** Element type of the KV cache. Default f32. */
  readonly kv?: KvType | undefined;
}

/** What a model takes to run on wasm; the rest, such as the logits of some rows, is small. */
export function runningMemory(config: ModelConfig, variant: AttentionVariant, { weights, kv = 'f32' }: RunningTypes, workload: Workload = {}): RunningMemory {
  const { sequences = 1, passTokens = 0, cachedTokens = 0, cache } = workload;
  const shape = modelShape(config);
  const { hiddenSize, heads, kvHeads, headDim, rotary } = shape;
  const perToken = 4 * (hiddenSize + heads * headDim + 2 * variant.storedKvHeads(kvHeads) * headDim + (rotary ? headDim : 0));
  return {
    weights: modelCost(config, variant).weightBytes[weights] + pooledBytes(config, variant, weights),
    cache: sequences * limitedBytes(cachedTokens * kvBytes(shape, variant, kv), cache),
    pass: passTokens * perToken,
  };
}

/** @param full what the cache takes without a limit */
function limitedBytes(full: number, cache: Workload['cache']): number {
  const limit = resolveCacheSpec(cache)?.limit;
  if (!limit || 'tokens' in limit) return full;
  return 'bytes' in limit ? Math.min(limit.bytes, full) : limit.share * full;
}

export function sumOf({ weights, cache, pass }: RunningMemory): number {
  return weights + cache + pass;
}

/** What is trained at a time. */
export interface TrainingLoad {
  /** Sequences of a batch. */
  readonly batchSize: number;
  /** Tokens of a sequence. */
  readonly sequenceLength: number;
  /** Batches whose gradients are added up. Default 1. */
  readonly accumulate?: number | undefined;
  /** Whether a frozen teacher of the same size is there too. */
  readonly distillation?: boolean | undefined;
}

export const TRAINING_LOAD: OptionNames<TrainingLoad> = { batchSize: true, sequenceLength: true, accumulate: true, distillation: true };

/** Bytes. */
export interface TrainingMemory {
  /** Of parameters, gradients and the optimizer's two moments, whatever the batch. */
  readonly fixed: number;
  /** Of what a sequence leaves in each layer for its gradient, and of that. */
  readonly perSequence: number;
}

/** For each output of a matrix or a norm: itself, what its gradient needs, and its gradient. As measured by training/memory.test.ts of the trainer. */
const COPIES = 3.6;
/** Outputs as wide as keys that experts make which are no groups of heads, from one representation to the other and back. */
const EXPERT_OUTPUTS = 8;

/** What a step of training takes on wasm: a third more or less, as measured on small models of each family. */
export function trainingMemory(config: ModelConfig, load: TrainingLoad): TrainingMemory {
  expectOptions('trainingMemory', load, TRAINING_LOAD);
  const { sequenceLength, accumulate = 1, distillation = false } = load;
  const { layers, heads, kvHeads, headDim, hiddenSize, vocabularySize, attention } = modelShape(config);
  const variant = parseAttention(attention);
  const { parameters } = modelCost(config, variant);
  const copiesOfAll = 4 + (accumulate > 1 ? 1 : 0) + (distillation ? 1 : 0);
  const first = `${familyOf(config).layerName(0)}.`;
  const rows = new Map(familyOf(config).parameters(config, variant)
    .filter(({ name }) => name.startsWith(first) && name.endsWith('.weight') && !name.includes('.router.'))
    .map(({ name, shape }) => [name, shape[0]!]));
  // A norm of queries or keys, whose gain may be that of one head, gives as much as the projection before it.
  const outputs = [...rows].reduce((sum, [name, own]) => sum + (rows.get(name.replace(/(\.self_attn\.[qk])_norm\./, '$1_proj.')) ?? own), 0);
  const keys = 2 * variant.storedKvHeads(kvHeads) * headDim;
  const mixed = !variant.formats.grouping ? EXPERT_OUTPUTS * keys : variant.experts ? keys : 0;
  const floatsPerToken = COPIES * (layers * (outputs + heads * headDim + mixed) + 2 * hiddenSize);
  return {
    // The gradients of the embedding and of a head that is tied to it, before they are added.
    fixed: 4 * (copiesOfAll * parameters + 3 * vocabularySize * hiddenSize),
    perSequence: 4 * floatsPerToken * sequenceLength,
  };
}
