import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decodeSafetensors, encodeSafetensors } from '@mixsga/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { start, until } from './testing/command-line';

const SLOW = 120_000;
const TOKENS = 16_000;
const SHIPPED = fileURLToPath(new URL('../../../packages/models/zoo/sotu-mini', import.meta.url));
const POSITIONS = 'model.decoder.embed_positions.weight';

let folder: string;

/** The shipped model with positions for a long text. */
async function longModel(to: string): Promise<void> {
  await mkdir(to);
  const config = JSON.parse(await readFile(join(SHIPPED, 'config.json'), 'utf8')) as { max_position_embeddings: number };
  const times = Math.ceil(TOKENS / config.max_position_embeddings) + 1;
  const tensors = new Map(decodeSafetensors(await readFile(join(SHIPPED, 'model.safetensors')), SHIPPED));
  const { dtype, shape, data } = tensors.get(POSITIONS)!;
  const longer = new Uint8Array(times * data.length);
  for (let i = 0; i < times; i++) longer.set(data, i * data.length);
  tensors.set(POSITIONS, { dtype, shape: [times * shape[0]!, shape[1]!], data: longer });
  await writeFile(join(to, 'model.safetensors'), encodeSafetensors(tensors));
  await writeFile(join(to, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: times * shape[0]! - 2 }));
  await copyFile(join(SHIPPED, 'tokenizer.json'), join(to, 'tokenizer.json'));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-interrupt-'));
  await longModel(join(folder, 'long'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Ends a generation by Ctrl-C. @returns exit code, as a shell has it, and seconds to the end */
async function interrupted(text: string, after: (err: () => string) => boolean) {
  const { child, ended } = start(folder, ['generate', 'long', '--prompt', '-']);
  let err = '';
  child.stderr!.on('data', (chunk) => (err += String(chunk)));
  child.stdin!.end(text);
  await until(() => after(() => err));
  const begin = performance.now();
  child.kill('SIGINT');
  const { code, out } = await ended;
  return { code: child.signalCode === 'SIGINT' ? 130 : code, out, err, seconds: (performance.now() - begin) / 1000 };
}

describe('Ctrl-C', () => {
  it('ends the pass over a long prompt at once', async () => {
    const text = 'The state of the Union is strong. '.repeat(TOKENS / 10);
    const { code, out, err, seconds } = await interrupted(text, (err) => err().includes('prompt: '));
    expect({ code, out }).toEqual({ code: 130, out: '' });
    expect(err).toMatch(/^prompt: \d+ of \d{5} \(\d+ %\)[^\n]*\n\nmixsga: stopping[^\n]*\nmixsga: stopped after 0 tokens\n$/);
    expect(seconds).toBeLessThan(10);
  }, SLOW);
});
