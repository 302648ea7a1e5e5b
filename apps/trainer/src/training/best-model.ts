import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { writeDirectoryAtomic, writeSynced } from '@mixsga/models';
import type * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';

import { assignValues, readVariables, saveVariables } from './checkpoint';
import { readJsonIfThere } from './run-folder';

const bestSchema = z.strictObject({
  /** Step after which it was measured. */
  step: z.number().int().positive(),
  /** Perplexity of the validation part under decode routing. */
  perplexity: z.number(),
});

export type Best = z.output<typeof bestSchema>;

/**
 * The best model of a run so far, in a folder that appears whole: model.safetensors (f32) and state.json with what it measured. The
 * folder speaks for itself, so that it stays right whatever checkpoint a run goes on from.
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
    if (error) throw new FileError(path, `${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}; remove its folder`);
    store.#best = data;
    return store;
  }

  get best(): Best | undefined {
    return this.#best;
  }

  /** Keeps the model when it is better than any before; of two that are as good, the earlier one. */
  async offer(candidate: Best, variables: ReadonlyMap<string, tf.Variable>): Promise<void> {
    if (this.#best && !(candidate.perplexity < this.#best.perplexity)) return;
    await writeDirectoryAtomic(this.folder, async (temporary) => {
      await saveVariables(join(temporary, 'model.safetensors'), variables);
      await writeSynced(join(temporary, 'state.json'), `${JSON.stringify(candidate)}\n`);
    });
    this.#best = candidate;
  }

  /** Writes the best model's values into the variables. @throws FileError when its file is damaged */
  async restore(variables: ReadonlyMap<string, tf.Variable>): Promise<void> {
    assignValues(variables, await readVariables(join(this.folder, 'model.safetensors'), variables));
  }
}
