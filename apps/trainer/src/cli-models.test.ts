import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { temporaryPath } from '@mixsga/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run } from './testing/command-line';

const SLOW = 240_000;
const llama = {
  ...{ model_type: 'llama', vocab_size: 59, hidden_size: 36, num_hidden_layers: 3, num_attention_heads: 6, num_key_value_heads: 2 },
  ...{ intermediate_size: 44, max_position_embeddings: 128, hidden_act: 'silu' },
};

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-cli-models-'))));
afterAll(() => rm(folder, { recursive: true }));

async function writeConfig(name: string, config: object): Promise<void> {
  await mkdir(at(name));
  await writeFile(at(name, 'config.json'), JSON.stringify(config));
}

describe('config.json', () => {
  it('with unknown keys is read with one warning on stderr', async () => {
    await writeConfig('mirror', { ...llama, unsloth_fixed: true });
    const { code, out, err } = await run(folder, ['inspect', 'mirror', '--json']);
    expect(err).toBe('mixsga: warning: mirror/config.json: ignored an unknown key: unsloth_fixed\n');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ family: 'llama', layers: 3 });
  }, SLOW);

  it('with impossible sizes is refused at once', async () => {
    await writeConfig('deep', { ...llama, num_hidden_layers: 1e9 });
    const { code, err } = await run(folder, ['inspect', 'deep']);
    expect([code, err]).toEqual([1, 'mixsga: deep/config.json: num_hidden_layers: expected at most 4096, got 1000000000\n']);
  }, SLOW);
});

describe('mixsga convert', () => {
  it('removes what a killed one left', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await mkdir(at('killed'));
    await writeFile((await temporaryPath(at('killed', 'model.safetensors'))).replace(`-${process.pid}-`, `-${pid}-`), 'half');
    const { code, err } = await run(folder, ['convert', 'sotu-mini', '--attention', 'gqa:2', '--out', 'killed']);
    expect([code, err]).toEqual([0, '']);
    expect((await readdir(at('killed'))).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  }, SLOW);
});
