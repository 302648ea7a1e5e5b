// The models that train here, from and to a folder as Hugging Face lays it out.

import { expectBackend, expectOptions, FileError, type OptionNames } from '@mixsga/backend';
import { CONVERT_OPTIONS, convertConfig, convertedSource, type ConvertOptions } from './convert';
import type { ModelConfig } from '../config/shape';
import { familyOf, parseModelConfig } from '../families/index';
import { storedParameters } from './stored-parameters';
import { type DownloadOptions, FETCH_OPTIONS } from '../hub/snapshot';
import { readConfig, type CheckpointFiles, type FileReference } from '../io/checkpoint-files';
import { finiteSource } from '../io/finite-source';
import type { JsonValue } from '../io/json';
import type { ParameterSource, ParameterSpec } from '../io/parameter-source';
import { fromFloat32, type FloatDtype } from '../io/safetensors';
import type { TensorInfo, TensorSource } from '../io/tensor-source';
import { checkpointFiles, openFiles, type OpenCheckpoint } from './open-checkpoint';
import { cardFile, MODEL_HISTORY, type ModelHistory } from './model-card';
import { saveCheckpoint, type CheckpointContent } from './save-checkpoint';
import { createTokenizer, type Tokenizer } from '../tokenizers/tokenizer';
import { readTokenizerFiles } from '../tokenizers/tokenizer-files';
import { createTrainable, type TrainableModel } from '../training/model';

/** A model outside of any backend: configuration and the values of every parameter, row-major. */
export interface Checkpoint {
  readonly config: ModelConfig;
  readonly values: Map<string, Float32Array>;
}

/**
 * Reads a model of any family: config.json and the weights, in any of the forms that {@link openCheckpoint} opens, and checks each
 * tensor's name and shape against the config.
 * @param folder a folder or another name that openCheckpoint knows
 * @throws FileError naming the file and the tensor or field
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const checkpoint = await openModelCheckpoint(folder);
  try {
    const { config, source } = parametersOf(checkpoint);
    const values = new Map<string, Float32Array>();
    for (const { name } of storedParameters(config)) values.set(name, await source.read(name));
    return { config, values };
  } finally {
    await checkpoint.tensors.close();
  }
}

/** An open checkpoint of a model of a known family. Its configuration and its tokenizer are parsed once. */
export interface ModelCheckpoint extends OpenCheckpoint, ParsedFiles {}

/** What a model is, before its weights. */
export interface ParsedFiles {
  readonly modelConfig: ModelConfig;
  /** @throws FileError when there is none that can be read */
  createTokenizer(): Promise<Tokenizer>;
}

/**
 * {@link openCheckpoint} for a model of a known family: of one on the hub, the configuration and the tokenizer are read before any
 * weights are fetched.
 * @throws FileError also when the configuration or the tokenizer cannot be read
 */
export async function openModelCheckpoint(
  source: string | readonly FileReference[], options: ModelCheckpointOptions = {},
): Promise<ModelCheckpoint> {
  expectOptions('openModelCheckpoint', options, OPEN);
  const { check, ...download } = options;
  const read: { files?: Awaited<ReturnType<typeof parseFiles>> } = {};
  const parse = async (files: CheckpointFiles) => {
    read.files = await parseFiles(files);
    await check?.(read.files);
  };
  const files = await checkpointFiles(source, {
    ...download,
    beforeWeights: async (early) => {
      await parse(early);
      await read.files!.createTokenizer();
    },
  });
  if (!read.files) await parse(files);
  const { json, ...parsed } = read.files!;
  return { ...(await openFiles(files, json, options.signal)), ...parsed };
}

export interface ModelCheckpointOptions extends Omit<DownloadOptions, 'beforeWeights'> {
  /** Throws where it is no use to fetch or to read the weights. */
  readonly check?: ((files: ParsedFiles) => Promise<void>) | undefined;
}

const OPEN: OptionNames<ModelCheckpointOptions> = { ...FETCH_OPTIONS, weights: true, check: true };

async function parseFiles(files: CheckpointFiles): Promise<ParsedFiles & Pick<OpenCheckpoint, 'tokenizer'> & { json: JsonValue }> {
  const json = await readConfig(files, 'config.json');
  const modelConfig = parseModelConfig(json, files.path('config.json'));
  const tokenizer = once(() => readTokenizerFiles(files));
  const created = once(async () => {
    const { json: tokens, where } = await tokenizer();
    return createTokenizer(tokens, where);
  });
  return { json, modelConfig, tokenizer, createTokenizer: created };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** The configuration of an open checkpoint and its parameters. @throws FileError as {@link readCheckpoint} */
function parametersOf({ config: json, configWhere, tensors, modelConfig }: OpenCheckpoint & Partial<ParsedFiles>): { config: ModelConfig; source: ParameterSource } {
  const config = modelConfig ?? parseModelConfig(json, configWhere);
  return { config, source: sourceOfTensors(tensors, storedParameters(config)) };
}

/** The parameters of a model among the tensors of a checkpoint. @throws FileError as {@link matchTensors}; from `read`, for weights that are not finite */
export function sourceOfTensors(tensors: TensorSource, expected: readonly ParameterSpec[]): ParameterSource {
  const stored = matchTensors(tensors, expected);
  const nameOf = (name: string) => stored.get(name) ?? name;
  const source = { has: (name: string) => stored.has(name), read: (name: string) => tensors.read(nameOf(name)) };
  return finiteSource(source, (name) => tensors.tensors.get(nameOf(name))?.where ?? tensors.where);
}

/** Tensors that checkpoints hold beside their parameters: a tied head once more, and what old versions of transformers kept. */
const REPEATED = /^lm_head\.weight$|\.rotary_emb\.inv_freq$/;

/**
 * Finds the parameters of a model among the tensors of a checkpoint, and checks them all before any is read.
 * @param expected parameters by their names in Hugging Face checkpoints; those of the bare model, as opt-350m was published, lack
 * `model.` at the start
 * @returns the name of each parameter to that of its tensor
 * @throws FileError when a parameter is missing or has another shape, or a tensor belongs to no parameter
 */
export function matchTensors(
  tensors: TensorSource, expected: readonly { readonly name: string; readonly shape: readonly number[] }[],
): Map<string, string> {
  const stored = new Map<string, string>();
  for (const { name, shape } of expected) {
    const found = [name, name.replace(/^model\./, '')].find((candidate) => tensors.has(candidate));
    if (found === undefined) {
      throw new FileError(tensors.where, `expected a tensor ${name} of shape [${shape.join(', ')}], and there is none`);
    }
    const { where, shape: got } = tensors.tensors.get(found)!;
    if (got.join() !== shape.join()) throw new FileError(where, `${found}: expected shape [${shape.join(', ')}], got [${got.join(', ')}]`);
    stored.set(name, found);
  }
  const known = new Set(stored.values());
  for (const [name, { where }] of tensors.tensors) {
    if (!known.has(name) && !REPEATED.test(name)) {
      throw new FileError(where, `tensor ${name} belongs to no parameter of this configuration; check config.json`);
    }
  }
  return stored;
}

export interface LoadOptions extends ConvertOptions {
  /** Attention variant; another than the checkpoint's is converted to while reading. Default: the checkpoint's. */
  readonly attention?: string;
}

const LOAD: OptionNames<LoadOptions> = { ...CONVERT_OPTIONS, attention: true };

/**
 * Loads a model onto the active backend to be trained, one parameter after the other.
 * @param source what {@link openCheckpoint} takes
 * @throws FileError as {@link readCheckpoint}; ArgumentError when the attention variant does not fit
 */
export async function loadModel(source: string, options: LoadOptions = {}): Promise<TrainableModel> {
  expectOptions('loadModel', options, LOAD);
  expectBackend('loadModel');
  const checkpoint = await openModelCheckpoint(source);
  try {
    return await trainableOf(checkpoint, options);
  } finally {
    await checkpoint.tensors.close();
  }
}

/** {@link loadModel} of an open checkpoint, which stays open. */
export async function trainableOf(checkpoint: OpenCheckpoint, options: LoadOptions = {}): Promise<TrainableModel> {
  expectOptions('trainableOf', options, LOAD);
  expectBackend('trainableOf');
  const { attention, ...convert } = options;
  const { config, source } = parametersOf(checkpoint);
  if (attention === undefined) return createTrainable(config, source);
  return createTrainable(convertConfig(config, attention, convert), convertedSource(config, source, attention, { align: convert.align }));
}

/** What a checkpoint has beside configuration and weights. */
const COMPANIONS = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'chat_template.jinja'];

/**
 * The files of a checkpoint that belong beside a model made from it: tokenizer, settings of generation. Of a slow tokenizer there
 * is the tokenizer.json that it is read as.
 */
export async function companionFiles(checkpoint: OpenCheckpoint): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of COMPANIONS) {
    const bytes = await checkpoint.file(name);
    if (bytes) files.set(name, bytes);
  }
  if (!files.has('tokenizer.json') && ['vocab.json', 'merges.txt'].every((name) => checkpoint.files.includes(name))) {
    files.set('tokenizer.json', new TextEncoder().encode(JSON.stringify((await checkpoint.tokenizer()).json)));
  }
  return files;
}

/** The present weights of a model as the tensors of a checkpoint, read from the backend one by one. */
function tensorsOf(model: TrainableModel, dtype: FloatDtype, where: string): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { shape }] of model.parameters()) tensors.set(name, { dtype, shape, where });
  const { has, read } = model.source() as { has(name: string): boolean; read(name: string): Promise<Float32Array<ArrayBuffer>> };
  return {
    where,
    tensors,
    has,
    read,
    async readRaw(name) {
      return fromFloat32(await read(name), tensors.get(name)!.shape, dtype).data as Uint8Array<ArrayBuffer>;
    },
    close: () => Promise.resolve(),
  };
}

export interface SaveModelOptions extends Pick<CheckpointContent, 'files'> {
  /** Element type of the weights in the file; default F32. */
  readonly dtype?: FloatDtype;
  /** What its model card says of its past; default nothing, and no card. */
  readonly history?: ModelHistory | undefined;
}

const SAVE: OptionNames<SaveModelOptions> = { dtype: true, files: true, history: MODEL_HISTORY };

/**
 * Writes config.json and model.safetensors as {@link saveCheckpoint} does, so that Hugging Face tools read them too where the
 * attention is `mha`.
 * @throws FileError when the folder cannot be written
 */
export async function saveModel(model: TrainableModel, folder: string, options: SaveModelOptions = {}): Promise<void> {
  expectOptions('saveModel', options, SAVE);
  const { dtype = 'F32', files, history } = options;
  const config = familyOf(model.config).toJson(model.config);
  const card = history ? await cardFile(folder, model.config, history) : [];
  await saveCheckpoint(folder, { config, tensors: tensorsOf(model, dtype, folder), files: new Map([...(files ?? []), ...card]) });
}
