import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import {
  encodeSafetensors, fromFloat32, orFileError, readSafetensors, type SafetensorsEntry, toFloat32, writeDirectoryAtomic, writeFileAtomic, writeSynced,
} from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';

/** Checkpoints of a run that are kept: the newest, and the one before it. */
const KEPT = 2;

const checkpointState = z.strictObject({
  format: z.literal(1),
  step: z.number().int().positive(),
  tokens: z.number().int().positive(),
  /** Position in the training data, as BatchSampler.state() gave it. */
  sampler: z.unknown(),
});

export type CheckpointState = z.output<typeof checkpointState>;

/** The variables that a checkpoint holds: the caller's own, written in place by restoring. */
export interface CheckpointVariables {
  model: ReadonlyMap<string, tf.Variable>;
  optimizer: ReadonlyMap<string, tf.Variable>;
}

/**
 * The checkpoints of one run: `step-N` folders with model.safetensors, optimizer.safetensors (both f32) and
 * state.json, and a file `latest` with the name of the newest. Each appears complete or not at all.
 */
export class CheckpointStore {
  /** @param directory the `checkpoints` folder; made by the first save. */
  constructor(private readonly directory: string) {}

  /** @throws FileError when the disk is full or not writable; the earlier checkpoints are then as they were. */
  async save(state: CheckpointState, variables: CheckpointVariables): Promise<void> {
    const name = `step-${state.step}`;
    await writeDirectoryAtomic(join(this.directory, name), async (temporary) => {
      await saveVariables(join(temporary, 'model.safetensors'), variables.model);
      await saveVariables(join(temporary, 'optimizer.safetensors'), variables.optimizer);
      await writeSynced(join(temporary, 'state.json'), `${JSON.stringify(state)}\n`);
    });
    await writeFileAtomic(join(this.directory, 'latest'), `${name}\n`);
    await this.removeOld(name);
  }

  /** Folder of the newest checkpoint, or undefined when none was saved. */
  async latest(): Promise<string | undefined> {
    const pointer = join(this.directory, 'latest');
    const name = await readFile(pointer, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw new FileError(pointer, error.message);
    });
    if (name === undefined) return undefined;
    if (!/^step-\d+\n$/.test(name)) throw new FileError(pointer, 'expected the name of a checkpoint such as step-100');
    return join(this.directory, name.trim());
  }

  /**
   * Writes the newest checkpoint's values into the variables.
   *
   * @returns its state, or undefined when there is no checkpoint.
   * @throws FileError when it is cut short or belongs to a model of another shape; the variables are then untouched.
   */
  async restore(variables: CheckpointVariables): Promise<CheckpointState | undefined> {
    const folder = await this.latest();
    if (folder === undefined) return undefined;
    const state = await readState(join(folder, 'state.json'));
    const model = await readVariables(join(folder, 'model.safetensors'), variables.model);
    const optimizer = await readVariables(join(folder, 'optimizer.safetensors'), variables.optimizer);
    assignValues(variables.model, model);
    assignValues(variables.optimizer, optimizer);
    return state;
  }

  private async removeOld(newest: string): Promise<void> {
    const entries = await readdir(this.directory);
    const steps = entries
      .filter((name) => /^step-\d+$/.test(name) && name !== newest)
      .sort((a, b) => Number(b.slice(5)) - Number(a.slice(5)));
    for (const name of steps.slice(KEPT - 1)) await rm(join(this.directory, name), { recursive: true, force: true });
  }
}

/** Writes a safetensors file (f32). */
export async function saveVariables(path: string, variables: ReadonlyMap<string, tf.Variable>): Promise<void> {
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [name, variable] of variables) {
    tensors.set(name, fromFloat32((await variable.data()) as Float32Array, variable.shape));
  }
  await writeSynced(path, encodeSafetensors(tensors));
}

async function readState(path: string): Promise<CheckpointState> {
  const text = await orFileError(path, 'read', () => readFile(path, 'utf8'));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FileError(path, 'expected JSON; the checkpoint is damaged, remove its folder and `latest`');
  }
  const result = checkpointState.safeParse(value);
  if (!result.success) {
    throw new FileError(path, `${result.error.issues[0]!.path.join('.')}: ${result.error.issues[0]!.message}`);
  }
  return result.data;
}

/** Reads a file whose tensors must be exactly those of `variables`, names and shapes. */
export async function readVariables(
  path: string,
  variables: ReadonlyMap<string, tf.Variable>,
): Promise<Map<string, Float32Array>> {
  const tensors = await readSafetensors(path);
  const values = new Map<string, Float32Array>();
  for (const [name, variable] of variables) {
    const tensor = tensors.get(name);
    const expected = JSON.stringify(variable.shape);
    if (tensor === undefined) throw new FileError(path, `${name} is missing, expected shape ${expected}`);
    if (JSON.stringify(tensor.shape) !== expected) {
      throw new FileError(path, `${name} has shape ${JSON.stringify(tensor.shape)}, expected ${expected}`);
    }
    values.set(name, toFloat32(tensor));
  }
  return values;
}

export function assignValues(variables: ReadonlyMap<string, tf.Variable>, values: ReadonlyMap<string, Float32Array>): void {
  for (const [name, variable] of variables) {
    tf.tidy(() => variable.assign(tf.tensor(values.get(name)!, variable.shape, 'float32')));
  }
}
