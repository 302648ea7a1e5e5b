import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { decodeSafetensors } from '@mixsga/models';
import type * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';

import { openCheckedFolder, writeCheckedFolder } from './checked-folder';
import { assignValues, encodeVariables, valuesOf } from './checkpoint';
import { readJsonIfThere } from '../run/run-folder';

const bestSchema = z.strictObject({
  /** Step after which it was measured. */
  step: z.number().int().positive(),
  /** Perplexity of the validation part under decode routing. */
  perplexity: z.number(),
});

export type Best = z.output<typeof bestSchema>;

/** Of the folder. */
const MODEL = 'model.safetensors';
const ADVICE = 'remove its folder to keep the best of the steps to come';

/**
 * The best model of a run so far, in a folder that appears whole: model.safetensors (f32), state.json with what it measured, and their
 * checksums. The folder speaks for itself, so that it stays right whatever checkpoint a run resumes from.
 */
export class BestModel {
  #best: Best | undefined;

  private constructor(private readonly folder: string) {}

  /**
   * @param step from which the run goes on: what a run has left that started anew is removed
   * @throws FileError when the folder is damaged
   */
  static async open(folder: string, step: number): Promise<BestModel> {
    const store = new BestModel(folder);
    if (step === 0) {
      await rm(folder, { recursive: true, force: true });
      return store;
    }
    const path = join(folder, 'state.json');
    const state = await readJsonIfThere(path);
    if (state === undefined) return store;
    const { data, error } = bestSchema.safeParse(state);
    if (error) throw new FileError(path, `${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}; ${ADVICE}`);
    // Not at the end of the run, when it is needed.
    await store.#read();
    store.#best = data;
    return store;
  }

  get best(): Best | undefined {
    return this.#best;
  }

  /** Keeps the model when it is better than any before; of two that are as good, the earlier one. */
  async offer(candidate: Best, variables: ReadonlyMap<string, tf.Variable>): Promise<void> {
    if (this.#best && !(candidate.perplexity < this.#best.perplexity)) return;
    await writeCheckedFolder(this.folder, async (file) => {
      await file(MODEL, await encodeVariables(variables));
      await file('state.json', `${JSON.stringify(candidate)}\n`);
    });
    this.#best = candidate;
  }

  /** Writes the best model's values into the variables. @throws FileError when its file is damaged */
  async restore(variables: ReadonlyMap<string, tf.Variable>): Promise<void> {
    const path = join(this.folder, MODEL);
    assignValues(variables, valuesOf(decodeSafetensors(await this.#read(), path), variables, path));
  }

  async #read(): Promise<Uint8Array> {
    const path = join(this.folder, MODEL);
    try {
      const { read } = await openCheckedFolder(this.folder);
      await read('state.json');
      const bytes = await read(MODEL);
      decodeSafetensors(bytes, path);
      return bytes;
    } catch (error) {
      if (!FileError.isInstance(error)) throw error;
      throw new FileError(this.folder, `${error.message}; ${ADVICE}`, { cause: error });
    }
  }
}
