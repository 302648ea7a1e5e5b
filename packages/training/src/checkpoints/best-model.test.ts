import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FileError, startBackend } from '@mixsga/backend';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';

import { BestModel } from './best-model';
import { flipped } from './testing/flipped';
import { TinyModel } from '../optimisation/testing/tiny-model';

let folder: string;
beforeAll(async () => {
  await startBackend('wasm');
});
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'mixsga-best-')), 'best');
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

it('keeps the model with the lowest perplexity, the earlier of two that are as good, over processes', async () => {
  const models = [1, 2, 3, 4].map((seed) => new TinyModel(5, 4, seed));
  const store = await BestModel.open(folder, 0);
  for (const [i, perplexity] of [9, 5, 5].entries()) await store.offer({ step: i + 1, perplexity }, models[i]!.parameters());
  expect(store.best).toEqual({ step: 2, perplexity: 5 });
  const later = await BestModel.open(folder, 3);
  await later.offer({ step: 4, perplexity: Infinity }, models[3]!.parameters());
  const restored = new TinyModel(5, 4, 9);
  await later.restore(restored.parameters());
  expect(await restored.values()).toEqual(await models[1]!.values());
  expect((await readdir(folder)).sort()).toEqual(['SHA256SUMS', 'model.safetensors', 'state.json']);
  // A run that starts anew has nothing to do with what is there.
  expect((await BestModel.open(folder, 0)).best).toBeUndefined();
  for (const model of [...models, restored]) model.dispose();
});

it('refuses what is damaged, when it is opened, and reads what an earlier version left', async () => {
  const model = new TinyModel(5, 4, 1);
  const store = await BestModel.open(folder, 0);
  await store.offer({ step: 1, perplexity: 3 }, model.parameters());
  const path = join(folder, 'model.safetensors');
  const whole = await readFile(path);
  for (const damaged of [flipped(whole, 8 * whole.length - 3), whole.subarray(0, 100), Buffer.alloc(0)]) {
    await writeFile(path, damaged);
    await expect(store.restore(model.parameters())).rejects.toThrow(FileError);
    await expect(BestModel.open(folder, 1)).rejects.toThrow(/best: .*model\.safetensors: damaged: expected SHA-256 \w{8}…, got \w{8}…; remove its folder to keep the best/);
  }
  await rm(join(folder, 'SHA256SUMS'));
  await expect(BestModel.open(folder, 1)).rejects.toThrow(/model\.safetensors: /);
  await writeFile(path, whole);
  expect((await BestModel.open(folder, 1)).best).toEqual({ step: 1, perplexity: 3 });
  await writeFile(join(folder, 'state.json'), '{"step": 0}');
  await expect(BestModel.open(folder, 1)).rejects.toThrow(/state\.json: step: .*; remove its folder/);
  model.dispose();
});
