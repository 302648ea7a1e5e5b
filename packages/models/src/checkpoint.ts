// A model's folder: config.json, model.safetensors, tokenizer.json, as Hugging Face lays it out.

import { FileError } from '@mixsga/backend';
import { parseAttention } from './attention/index';
import type { OptConfig } from './config/opt';
import { optConfigToJson, parseOptConfig } from './config/opt';
import { readJsonFile } from './config/validate';
import { writeFileAtomic } from './io/fs';
import type { FloatDtype, SafetensorsEntry } from './io/safetensors';
import { encodeSafetensors, fromFloat32, readSafetensors, toFloat32 } from './io/safetensors';
import { OptModel } from './opt/model';
import { parameterSpecs } from './opt/parameters';

/** A model outside of any backend: configuration and the values of every parameter, row-major. */
export interface Checkpoint {
  readonly config: OptConfig;
  readonly values: Map<string, Float32Array>;
}

/**
 * Reads config.json and model.safetensors of a folder and checks each tensor's name and shape against the config.
 * @throws FileError naming the file and the tensor or field
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const configPath = `${folder}/config.json`;
  const config = parseOptConfig(await readJsonFile(configPath), configPath);
  const weightsPath = `${folder}/model.safetensors`;
  return { config, values: checkpointValues(config, await readSafetensors(weightsPath), weightsPath) };
}

/**
 * The parameters among the tensors of a checkpoint, as float32.
 * @param where the file's path, for error messages
 * @throws FileError when a parameter is missing, has another shape, or a tensor belongs to no parameter
 */
export function checkpointValues(
  config: OptConfig,
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  where: string,
): Map<string, Float32Array> {
  const attention = parseAttention(config.mixsga?.attention ?? 'mha');
  const expected = new Map(parameterSpecs(config, attention).map(({ name, shape }) => [name, shape]));
  const experts = attention.experts?.ratios.length;
  if (experts !== undefined && config.mixsga?.router !== 'random') {
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      expected.set(`model.decoder.layers.${layer}.self_attn.router.weight`, [experts, config.hidden_size]);
      expected.set(`model.decoder.layers.${layer}.self_attn.router.bias`, [experts]);
    }
  }
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of expected) {
    const entry = tensors.get(name);
    if (!entry) throw new FileError(where, `expected a tensor ${name} of shape [${shape.join(', ')}], and there is none`);
    if (entry.shape.join() !== shape.join()) {
      throw new FileError(where, `${name}: expected shape [${shape.join(', ')}], got [${entry.shape.join(', ')}]`);
    }
    values.set(name, toFloat32(entry));
  }
  // OPT checkpoints may repeat the tied head; anything else unknown is a sign of another model.
  for (const name of tensors.keys()) {
    if (!expected.has(name) && name !== 'lm_head.weight') {
      throw new FileError(where, `tensor ${name} belongs to no parameter of this configuration; check config.json`);
    }
  }
  return values;
}

/** Loads a folder's model onto the active backend. @throws as {@link readCheckpoint} */
export async function loadModel(folder: string): Promise<OptModel> {
  const { config, values } = await readCheckpoint(folder);
  return new OptModel(config, values);
}

/** The bytes of model.safetensors for a model's current weights. */
export async function encodeModel(model: OptModel, dtype: FloatDtype = 'F32'): Promise<Uint8Array> {
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, variable] of model.parameters()) {
    entries.set(name, fromFloat32((await variable.data()) as Float32Array, variable.shape, dtype));
  }
  return encodeSafetensors(entries, { format: 'pt' });
}

/**
 * Writes config.json and model.safetensors; each appears whole or not at all.
 * @param dtype element type of the weights in the file
 * @throws FileError when the folder cannot be written
 */
export async function saveModel(model: OptModel, folder: string, dtype: FloatDtype = 'F32'): Promise<void> {
  await writeFileAtomic(`${folder}/model.safetensors`, await encodeModel(model, dtype));
  await writeFileAtomic(`${folder}/config.json`, `${JSON.stringify(optConfigToJson(model.config), null, 2)}\n`);
}
