import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { decodeSafetensors, encodeSafetensors, fromFloat32, type SafetensorsEntry, toFloat32, writeFileAtomic } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';

import type { Checkpoints, CheckpointState, CheckpointVariables } from '../optimisation/loop';
import { openCheckedFolder, writeCheckedFolder } from './checked-folder';

/** Checkpoints of a run that are kept: the newest, and the one before it. */
const KEPT = 2;

const stateSchema = z.strictObject({
  /** From 2 on there are checksums. */
  format: z.union([z.literal(1), z.literal(2)]),
  step: z.number().int().positive(),
  tokens: z.number().int().positive(),
  /** Position in the training data, as BatchSampler.state() gave it. */
  sampler: z.unknown(),
});

/** A checkpoint as it was read. */
interface Content {
  state: CheckpointState;
  model: ReadonlyMap<string, SafetensorsEntry>;
  optimizer: ReadonlyMap<string, SafetensorsEntry>;
}

/**
 * The checkpoints of one run: `step-N` folders with model.safetensors, optimizer.safetensors (both f32), state.json and their checksums,
 * and a file `latest` with the name of the newest. Each appears complete or not at all.
 */
export class CheckpointStore implements Checkpoints {
  /** Names of those that could not be read. */
  readonly #damaged = new Set<string>();

  /**
   * @param directory the `checkpoints` folder; made by the first save
   * @param warn called when an older checkpoint replaces one that is damaged
   */
  constructor(
    private readonly directory: string,
    private readonly warn: (text: string) => void = () => undefined,
  ) {}

  /** @throws FileError when the disk is full or not writable; the earlier checkpoints are then as they were. */
  async save(state: CheckpointState, variables: CheckpointVariables): Promise<void> {
    const name = `step-${state.step}`;
    await writeCheckedFolder(join(this.directory, name), async (file) => {
      await file('model.safetensors', await encodeVariables(variables.model));
      await file('optimizer.safetensors', await encodeVariables(variables.optimizer));
      await file('state.json', `${JSON.stringify({ format: 2, ...state })}\n`);
    });
    this.#damaged.delete(name);
    await writeFileAtomic(join(this.directory, 'latest'), `${name}\n`);
    await this.removeOld(state.step);
  }

  /**
   * Writes the newest checkpoint's values into the variables. When it is damaged, the one before it takes its place.
   *
   * @returns its state, or undefined when there is no checkpoint.
   * @throws FileError when all are damaged, or the newest that is not belongs to a model of another shape; the variables are then untouched.
   */
  async restore(variables: CheckpointVariables): Promise<CheckpointState | undefined> {
    const names = await this.newestFirst();
    const reasons: string[] = [];
    for (const name of names) {
      const folder = join(this.directory, name);
      const content = await readCheckpoint(folder).catch((error: unknown) => {
        if (!FileError.isInstance(error)) throw error;
        this.#damaged.add(name);
        reasons.push(error.message);
      });
      if (!content) continue;
      const model = valuesOf(content.model, variables.model, join(folder, 'model.safetensors'));
      const optimizer = valuesOf(content.optimizer, variables.optimizer, join(folder, 'optimizer.safetensors'));
      assignValues(variables.model, model);
      assignValues(variables.optimizer, optimizer);
      if (reasons.length > 0) this.warn(`${reasons.join('; ')}; going on from the checkpoint before it, ${folder}`);
      return content.state;
    }
    if (names.length === 0) return undefined;
    throw new FileError(this.directory, `expected a checkpoint to go on from, got damaged ones: ${reasons.join('; ')}; remove the folder to train from the start`);
  }

  /** Names of the checkpoints: the one that `latest` names, then all others from the last step on. */
  private async newestFirst(): Promise<string[]> {
    const steps = await this.steps();
    const latest = (await readFile(join(this.directory, 'latest'), 'utf8').catch(() => '')).trim();
    return [...new Set([...(/^step-\d+$/.test(latest) ? [latest] : []), ...steps.map((step) => `step-${step}`)])];
  }

  /** Steps of the checkpoints, the last one first. */
  private async steps(): Promise<number[]> {
    const names = await readdir(this.directory).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === 'ENOENT') return [];
      throw new FileError(this.directory, error.message);
    });
    return names.filter((name) => /^step-\d+$/.test(name)).map((name) => Number(name.slice(5))).sort((a, b) => b - a);
  }

  /** Those after `newest` are of a run that went on from an earlier one. */
  private async removeOld(newest: number): Promise<void> {
    const steps = (await this.steps()).filter((step) => step !== newest);
    const kept = steps.filter((step) => step < newest && !this.#damaged.has(`step-${step}`)).slice(0, KEPT - 1);
    for (const step of steps) {
      if (!kept.includes(step)) await rm(join(this.directory, `step-${step}`), { recursive: true, force: true });
    }
  }
}

/** @throws FileError when a file is missing, cut short or damaged */
async function readCheckpoint(folder: string): Promise<Content> {
  const { checked, read } = await openCheckedFolder(folder);
  const { format, ...state } = parseState(await read('state.json'), join(folder, 'state.json'));
  if (format === 2 && !checked) throw new FileError(folder, 'damaged: its checksums are missing');
  const tensors = async (name: string) => decodeSafetensors(await read(name), join(folder, name));
  return { state, model: await tensors('model.safetensors'), optimizer: await tensors('optimizer.safetensors') };
}

function parseState(bytes: Uint8Array, path: string): z.output<typeof stateSchema> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new FileError(path, 'damaged: expected JSON');
  }
  const { data, error } = stateSchema.safeParse(value);
  if (error) throw new FileError(path, `damaged: ${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}`);
  return data;
}

/** A safetensors file (f32). */
export async function encodeVariables(variables: ReadonlyMap<string, tf.Variable>): Promise<Uint8Array> {
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [name, variable] of variables) {
    tensors.set(name, fromFloat32((await variable.data()) as Float32Array, variable.shape));
  }
  return encodeSafetensors(tensors);
}

/** The values of a file whose tensors must be exactly those of `variables`, names and shapes. @throws FileError when they are not */
export function valuesOf(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  variables: ReadonlyMap<string, tf.Variable>,
  path: string,
): Map<string, Float32Array> {
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
