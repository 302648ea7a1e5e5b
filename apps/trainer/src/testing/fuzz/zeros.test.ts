import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { FileError } from '@mixsga/backend';
import { inspectModel, loadTokenizer, openCheckpoint } from '@mixsga/models';
import { readFileRows } from '@mixsga/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/*
 * What is large and says nothing. Time is that of the processor, and memory that of the whole process, which is why this is a file, and so a
 * process, of its own.
 */

const ZEROS = 200_000_000;
const MB = 1_000_000;
/** Microseconds. */
const LONGEST = 5_000_000;

let folder: string;
let collect: () => void;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-zeros-'));
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as () => void;
});
afterAll(() => rm(folder, { recursive: true }));

/** A file without blocks on the disk, where the file system has such. */
async function zeros(name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, '');
  await truncate(path, ZEROS);
  return path;
}

async function readRows(path: string): Promise<void> {
  for await (const _ of readFileRows({ path, name: path }, {}));
}

/** A checkpoint whose file `name` is zeros. */
async function readCheckpoint(name: string): Promise<void> {
  const checkpoint = join(folder, `with-${name}`);
  await mkdir(checkpoint);
  await writeFile(join(checkpoint, 'config.json'), '{"model_type": "opt"}');
  await zeros(`with-${name}/${name}`);
  await (await openCheckpoint(checkpoint)).tensors.close();
}

describe('a file that is large and says nothing is refused soon and in little memory', () => {
  // The second is how many bytes of the file may be in memory at once, beside what any file may take.
  it.each<[string, number, () => Promise<unknown>, RegExp]>([
    ['rows.json', 0, async () => readRows(await zeros('rows.json')), /line 1: holds a zero byte at byte 0; /],
    ['rows.jsonl', 0, async () => readRows(await zeros('rows.jsonl')), /line 1: holds a zero byte at byte 0; /],
    ['rows.json.gz', 0, async () => readRows(await zeros('rows.json.gz')), /not a whole gzip file/],
    ['rows.parquet', 0, async () => readRows(await zeros('rows.parquet')), /not a Parquet file/],
    ['rows.txt', ZEROS, async () => readRows(await zeros('rows.txt')), /holds a zero byte at byte 0; /],
    ['config.json', 0, () => readCheckpoint('config.json'), /config\.json: /],
    ['config.json of inspect', 0, () => inspectModel(join(folder, 'with-config.json')), /config\.json: expected at most/],
    ['model.safetensors', 0, () => readCheckpoint('model.safetensors'), /model\.safetensors: /],
    ['pytorch_model.bin', 0, () => readCheckpoint('pytorch_model.bin'), /pytorch_model\.bin: /],
    ['model.safetensors.index.json', 0, () => readCheckpoint('model.safetensors.index.json'), /index\.json: /],
    ['tokenizer.json', 0, async () => loadTokenizer(await zeros('tokenizer.json')), /tokenizer\.json: /],
    [
      '13 KB of Parquet that hold 300 MiB', 0,
      () => readRows(fileURLToPath(new URL('../../../../../packages/training/src/data/fixtures/hostile/zeros.parquet', import.meta.url))),
      /row group 1: claims 300 rows and 314\d+ bytes, at most \d+ and 7\d{7} that are in the file are supported; write smaller row groups/,
    ],
  ])('%s', async (_, kept, read, message) => {
    collect();
    const [memory, time] = [process.memoryUsage.rss(), process.cpuUsage()];
    const error: unknown = await read().catch((e: unknown) => e);
    const used = process.cpuUsage(time);
    const taken = process.memoryUsage.rss() - memory;
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message.length).toBeLessThan(500);
    expect(used.user + used.system).toBeLessThan(LONGEST);
    expect(taken).toBeLessThan(kept + 100 * MB);
  }, 120_000);
});
