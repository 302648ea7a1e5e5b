import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { fuzz, type Reader } from './fuzz';
import { readers } from './readers';

const READERS = [
  ...['safetensors', 'shard index', 'pytorch_model.bin', 'pytorch_model.bin before 1.6', 'config.json', 'tokenizer.json', 'vocab.json and merges.txt'],
  ...['Parquet', 'JSON Lines', 'JSON', 'serialised cache', 'results of the harness', 'report.json', 'samples'],
] as const;

/** Files that were sound until they were changed: `count` for each reader, or as many as MIXSGA_FUZZ says, of the seed MIXSGA_FUZZ_SEED. */
export function fuzzSuite(count: number, names: readonly string[] = READERS): void {
  const files = Number(process.env.MIXSGA_FUZZ ?? count);
  const seed = Number(process.env.MIXSGA_FUZZ_SEED ?? 2024);
  let folder: string;
  let all: Reader[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mixsga-fuzz-'));
    mkdirSync(join(folder, 'slow'));
    all = await readers(folder);
  });
  afterAll(() => rm(folder, { recursive: true }));

  describe('changed files', () => {
    it.each(names)('%s', async (name) => {
      const reader = all.find((one) => one.name === name)!;
      const { refused, read, faults } = await fuzz(reader, files, seed);
      expect(faults).toEqual([]);
      // Some are broken, and some are not.
      expect(Math.min(refused, read)).toBeGreaterThan(files / 500);
    }, 3_600_000);
  });
}
