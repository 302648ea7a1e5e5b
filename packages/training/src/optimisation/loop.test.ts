import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { FileError, SeededRandom, startBackend } from '@mixsga/backend';
import { temporaryPath } from '@mixsga/models';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { BatchSampler } from '../data/batch-sampler';
import { CheckpointStore } from '../checkpoints/checkpoint';
import { type MetricRow, trainLoop } from './loop';
import { flipped } from '../checkpoints/testing/flipped';
import { TinyModel } from './testing/tiny-model';
import { Trainer } from './trainer';

const STEPS = 12;
const tokens = Int32Array.from({ length: 400 }, () => 0);
const random = new SeededRandom(3);
tokens.forEach((_, i) => (tokens[i] = random.nextInt(5)));

let folder: string;
beforeAll(async () => {
  await startBackend('wasm');
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-loop-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** A process's part of a run: restores, trains until the end or `stopAt`, and gives the rows it recorded. */
async function session({ stopAt = Infinity, checkpointEvery = 5, width = 4, warn = (_: string): unknown => undefined } = {}): Promise<{ rows: MetricRow[]; reached: boolean }> {
  const model = new TinyModel(5, width, 7);
  const trainer = new Trainer(model, {
    schedule: { learningRate: 0.05, minLearningRateRatio: 0, warmupSteps: 2, totalSteps: STEPS },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    clip: 1,
    routerLoss: { alpha: 0.5 },
    sequenceLength: 8,
  });
  const sampler = new BatchSampler(tokens, { batchSize: 4, sequenceLength: 8, seed: 1 });
  const checkpoints = new CheckpointStore(folder, warn);
  const rows: MetricRow[] = [];
  const controller = new AbortController();
  try {
    const restored = await checkpoints.restore({ model: model.parameters(), optimizer: trainer.adamw.state() });
    if (restored) sampler.restore(restored.sampler);
    trainer.step = restored?.step ?? 0;
    const { reached } = await trainLoop({
      model,
      trainer,
      sampler,
      checkpoints,
      totalSteps: STEPS,
      accumulate: 2,
      tokensBefore: restored?.tokens ?? 0,
      checkpointEvery,
      evaluateEvery: 4,
      evaluate: () => Promise.resolve({ decode: 1 }),
      record: ({ tokensPerSecond: _speed, ...row }) => rows.push(row as MetricRow),
      onProgress: ({ step }) => {
        if (step === stopAt) controller.abort();
      },
      signal: controller.signal,
    });
    return { rows, reached };
  } finally {
    trainer.dispose();
    model.dispose();
  }
}

describe('trainLoop', () => {
  it('continues to the same numbers, bit for bit, after being stopped anywhere', async () => {
    const whole = await session();
    expect(whole.rows.filter(({ kind }) => kind === 'train')).toHaveLength(STEPS);
    expect(whole.rows.filter(({ kind }) => kind === 'validation').map(({ step }) => step)).toEqual([4, 8, STEPS]);
    await rm(folder, { recursive: true });
    const rows: MetricRow[] = [];
    for (const stopAt of [1, 4, 7, 11, Infinity]) {
      const part = await session({ stopAt });
      expect(part.reached).toBe(stopAt === Infinity);
      rows.push(...part.rows);
    }
    expect(rows).toEqual(whole.rows);
  });

  it('takes up a checkpoint of a process that was killed', async () => {
    const whole = await session();
    await rm(folder, { recursive: true });
    await session({ stopAt: 7, checkpointEvery: 100 });
    // As a kill leaves it: half a checkpoint, and steps after the last checkpoint that are lost.
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const half = (await temporaryPath(join(folder, 'step-8'))).replace(`-${process.pid}-`, `-${pid}-`);
    await writeFile(half, 'half');
    const { rows } = await session();
    expect(rows).toEqual(whole.rows.filter(({ step }) => step > 7));
    expect(await readdir(folder)).not.toContain(basename(half));
  });

  it('keeps the two newest checkpoints and points to the newest', async () => {
    await session();
    expect((await readdir(folder)).sort()).toEqual(['latest', 'step-10', 'step-12']);
    expect(await readFile(join(folder, 'latest'), 'utf8')).toBe('step-12\n');
  });

  describe('a damaged checkpoint', () => {
    const FILES = ['model.safetensors', 'optimizer.safetensors', 'state.json', 'SHA256SUMS'];
    const file = (name: string, step = 12): string => join(folder, `step-${step}`, name);

    /** Trains to the end from what is there. @returns the steps taken, and the warnings */
    const goOn = async (): Promise<{ steps: number[]; warnings: string[] }> => {
      const warnings: string[] = [];
      const { rows } = await session({ warn: (text) => warnings.push(text) });
      return { steps: rows.filter(({ kind }) => kind === 'train').map(({ step }) => step), warnings };
    };

    it('gives way to the one before it, whatever bit is turned, with the same numbers at the end', async () => {
      await session();
      const whole = new Map(await Promise.all(FILES.map(async (name) => [name, await readFile(file(name))] as const)));
      const random = new SeededRandom(11);
      for (const name of FILES) {
        const bytes = whole.get(name)!;
        const bits = [0, 8 * bytes.length - 1, ...Array.from({ length: 8 }, () => random.nextInt(8 * bytes.length))];
        const damaged = [...bits.map((bit) => flipped(bytes, bit)), bytes.subarray(0, bytes.length - 1), bytes.subarray(0, 70), Buffer.alloc(0)];
        for (const content of damaged) {
          await writeFile(file(name), content);
          const { steps, warnings } = await goOn();
          expect(steps).toEqual([11, 12]);
          expect(warnings).toHaveLength(1);
          expect(warnings[0]).toMatch(/step-12\/.+; going on from the checkpoint before it, .+\/step-10$/);
          // The steps were taken again, to the same bytes.
          expect(await readFile(file('model.safetensors'))).toEqual(whole.get('model.safetensors'));
          expect((await readdir(folder)).sort()).toEqual(['latest', 'step-10', 'step-12']);
        }
      }
    });

    it('is not counted among the two that are kept', async () => {
      await session({ stopAt: 11 });
      await writeFile(file('state.json', 11), '');
      await session({ stopAt: 11 });
      expect((await readdir(folder)).sort()).toEqual(['latest', 'step-10', 'step-11']);
      await writeFile(file('state.json', 11), '');
      const { steps } = await goOn();
      expect(steps).toEqual([11, 12]);
      expect((await readdir(folder)).sort()).toEqual(['latest', 'step-10', 'step-12']);
    });

    it('that is missing, or whose name is damaged, is no reason to start anew', async () => {
      await session();
      await writeFile(join(folder, 'latest'), 'step-1');
      expect((await goOn()).warnings).toEqual([expect.stringMatching(/step-1\/state\.json: .*no such file.*going on from .+step-12$/)]);
      await rm(join(folder, 'latest'));
      expect(await goOn()).toEqual({ steps: [], warnings: [] });
    });

    it('ends the run when there is no other, and says what to do', async () => {
      await session();
      for (const step of [10, 12]) await writeFile(file('optimizer.safetensors', step), 'no');
      await expect(session()).rejects.toThrow(FileError);
      await expect(session()).rejects.toThrow(/expected a checkpoint to go on from, got damaged ones: .+step-12\/.+; .+step-10\/.+; remove the folder to train from the start$/);
    });

    it('of an earlier version has no checksums, and is read', async () => {
      await session();
      for (const step of [10, 12]) await rm(file('SHA256SUMS', step));
      await expect(session()).rejects.toThrow(/step-12: damaged: its checksums are missing/);
      const { format: _, ...state } = JSON.parse(await readFile(file('state.json'), 'utf8')) as Record<string, unknown>;
      await writeFile(file('state.json'), JSON.stringify({ format: 1, ...state }));
      expect(await goOn()).toEqual({ steps: [], warnings: [] });
    });
  });

  it('refuses a checkpoint of a model of another shape', async () => {
    await session();
    await expect(session({ width: 3 })).rejects.toThrow(/model\.safetensors: table has shape \[5,4\], expected \[5,3\]/);
  });
});
