import type * as FileSystem from 'node:fs/promises';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromFloat32 } from '../io/safetensors';
import { memoryTensors, type TensorSource } from '../io/tensor-source';
import { openCheckpoint } from './open-checkpoint';
import { saveCheckpoint } from './save-checkpoint';

/** How many changes of the folder are left before the power fails, after which none happens. */
let changesLeft = Infinity;

vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof FileSystem>();
  const mortal =
    <A extends unknown[], R>(change: (...given: A) => Promise<R>) =>
    async (...given: A): Promise<R> => {
      if (changesLeft-- <= 0) throw new Error('the power fails');
      return change(...given);
    };
  return { ...fs, rename: mortal(fs.rename), rm: mortal(fs.rm) };
});

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-save-'))));
afterEach(async () => {
  changesLeft = Infinity;
  await rm(folder, { recursive: true });
});

/** A model of three tensors, all of whose values are its number. */
const model = (number: number): TensorSource =>
  memoryTensors(new Map(['a', 'b', 'c'].map((name) => [name, fromFloat32(new Float32Array(100).fill(number), [100])])), 'memory');
const save = (number: number, maxShardBytes: number) =>
  saveCheckpoint(folder, { config: { number }, tensors: model(number), files: new Map([['tokenizer.json', '{}']]) }, { maxShardBytes });

/** The number of the model that the folder holds, null when it holds none; fails on a mixture. */
async function found(): Promise<number | null> {
  const checkpoint = await openCheckpoint(folder).catch(() => null);
  if (!checkpoint) return null;
  const { number } = checkpoint.config as { number: number };
  expect([...checkpoint.tensors.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
  for (const name of ['a', 'b', 'c']) expect(new Set(await checkpoint.tensors.read(name))).toEqual(new Set([number]));
  await checkpoint.tensors.close();
  return number;
}

describe('saveCheckpoint when the power fails', () => {
  const [one, three] = [1e9, 400];

  it.each([
    ['one file over one', one, one],
    ['shards over one file', one, three],
    ['one file over shards', three, one],
    ['shards over shards', three, three],
  ])('leaves the old model, the new one, or none: %s', async (_, before, after) => {
    const states = new Set<number | null>();
    for (let changes = 0; ; changes++) {
      changesLeft = Infinity;
      for (const name of await readdir(folder)) await rm(join(folder, name));
      await save(1, before);
      changesLeft = changes;
      const finished = await save(2, after).then(() => true, () => false);
      states.add(await found());
      if (finished) break;
    }
    expect(states).toEqual(new Set([1, null, 2]));
    expect(await found()).toBe(2);
  });
});
