import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { evaluateModel } from './evaluate-model';
import { sampleFilePath } from './sample-file';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-evaluate-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('samples are of the limit of the cache, in the fields that files have of it', async () => {
  const measure = (cache: string) =>
    evaluateModel('sotu-mini', [{ task: 'perplexity', options: { routing: 'decode', maxWindows: 1, windowLength: 16, cache } }], { unfinished: { folder, resume: true } });
  const { tasks } = await measure('nacl:0.5:3');
  expect(tasks[0]!.details).toMatchObject({ eviction: 'nacl:0.5:3', tokens: 16 });
  const [header] = (await readFile(sampleFilePath(folder, 'perplexity'), 'utf8')).split('\n', 1);
  expect(JSON.parse(header!)).toMatchObject({ settings: { options: { routing: 'decode', maxWindows: 1, windowLength: 16, eviction: 'nacl:0.5:3' } } });
  expect(header).not.toContain('"cache"');
  // The same, said otherwise.
  expect((await measure('nacl:.5:3:evict')).tasks[0]!.metrics).toEqual(tasks[0]!.metrics);
  await expect(measure('nacl:0.5:4')).rejects.toThrow(/settings\.options\.eviction was "?nacl:0\.5:3"?, is now "?nacl:0\.5:4"?/);
  await expect(measure('oldest:50%')).rejects.toThrow(/settings\.options\.eviction was/);
}, 60_000);

it('makes the samples of a task, and resumes from those that are finished', async () => {
  const measure = (seed: number, depths = 2) =>
    evaluateModel('sotu-mini', [{ task: 'passkey', options: { routing: 'decode', limit: 1, retrieval: { depths, seed }, cache: 'h2o:0.5' } }], { unfinished: { folder, resume: true } });
  const { tasks } = await measure(3);
  expect(tasks[0]).toMatchObject({ data: 'passkey', details: { lengths: [256], samples: 2, seed: 3, eviction: 'h2o:0.5', haystacks: { passkey: 'noise' }, promptsCut: 0 } });
  const path = sampleFilePath(folder, 'passkey');
  const lines = (await readFile(path, 'utf8')).split('\n');
  expect(lines).toHaveLength(1 + 2 + 1);
  // A run that was killed after one sample.
  await writeFile(path, `${lines.slice(0, 2).join('\n')}\n`);
  expect((await measure(3)).tasks[0]).toEqual(tasks[0]);
  expect((await readFile(path, 'utf8')).split('\n')).toEqual(lines);
  await expect(measure(4)).rejects.toThrow(/holds samples of other settings: settings\.(data|options\.retrieval\.seed) was/);
}, 60_000);
