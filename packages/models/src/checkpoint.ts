// The models that train here, from and to a folder as Hugging Face lays it out.

import { FileError } from '@mixsga/backend';
import { parseAttention } from './attention/index';
import type { OptConfig } from './config/opt';
import { optConfigToJson, parseOptConfig } from './config/opt';
import type { FloatDtype, SafetensorsEntry } from './io/safetensors';
import { encodeSafetensors, fromFloat32 } from './io/safetensors';
import { memoryTensors, type TensorSource } from './io/tensor-source';
import { openCheckpoint } from './open-checkpoint';
import { saveCheckpoint } from './save-checkpoint';
import { OptModel } from './opt/model';
import { parameterSpecs } from './opt/parameters';

/** A model outside of any backend: configuration and the values of every parameter, row-major. */
export interface Checkpoint {
  readonly config: OptConfig;
  readonly values: Map<string, Float32Array>;
}

/**
 * Reads an OPT: config.json and the weights, in any of the forms that {@link openCheckpoint} opens, and checks each tensor's name
 * and shape against the config.
 * @param folder a folder or another name that openCheckpoint knows
 * @throws FileError naming the file and the tensor or field
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const config = parseOptConfig(checkpoint.config, checkpoint.configWhere);
    return { config, values: await checkpointValues(config, checkpoint.tensors) };
  } finally {
    await checkpoint.tensors.close();
  }
}

/**
 * The parameters among the tensors of a checkpoint, as float32.
 * @throws FileError when a parameter is missing, has another shape, or a tensor belongs to no parameter
 */
export async function checkpointValues(config: OptConfig, tensors: TensorSource): Promise<Map<string, Float32Array>> {
  const attention = parseAttention(config.mixsga?.attention ?? 'mha');
  const expected = parameterSpecs(config, attention).map(({ name, shape }) => ({ name, shape }));
  const experts = attention.experts?.ratios.length;
  if (experts !== undefined && config.mixsga?.router !== 'random') {
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      const at = `model.decoder.layers.${layer}.self_attn.router`;
      expected.push({ name: `${at}.weight`, shape: [experts, config.hidden_size] }, { name: `${at}.bias`, shape: [experts] });
    }
  }
  const values = new Map<string, Float32Array>();
  for (const [name, stored] of matchTensors(tensors, expected)) values.set(name, await tensors.read(stored));
  return values;
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

/** Loads a folder's model onto the active backend. @throws as {@link readCheckpoint} */
export async function loadModel(folder: string): Promise<OptModel> {
  const { config, values } = await readCheckpoint(folder);
  return new OptModel(config, values);
}

/** The bytes of model.safetensors for a model's current weights. */
export async function encodeModel(model: OptModel, dtype: FloatDtype = 'F32'): Promise<Uint8Array> {
  return encodeSafetensors(await currentTensors(model, dtype), { format: 'pt' });
}

async function currentTensors(model: OptModel, dtype: FloatDtype): Promise<Map<string, SafetensorsEntry>> {
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, variable] of model.parameters()) {
    entries.set(name, fromFloat32((await variable.data()) as Float32Array, variable.shape, dtype));
  }
  return entries;
}

/**
 * Writes config.json and model.safetensors as {@link saveCheckpoint} does.
 * @param dtype element type of the weights in the file
 * @throws FileError when the folder cannot be written
 */
export async function saveModel(model: OptModel, folder: string, dtype: FloatDtype = 'F32'): Promise<void> {
  const tensors = memoryTensors(await currentTensors(model, dtype), folder);
  await saveCheckpoint(folder, { config: optConfigToJson(model.config), tensors });
}
