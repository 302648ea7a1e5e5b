import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

/** Ends a command by Ctrl-C. @returns exit code, as a shell has it, and seconds to the end */
async function interrupted(args: string[], text: string | null, after: (err: () => string) => boolean) {
  const { child, ended } = start(folder, args);
  let err = '';
  child.stderr!.on('data', (chunk) => (err += String(chunk)));
  if (text !== null) child.stdin!.end(text);
  await until(() => after(() => err));
  const begin = performance.now();
  child.kill('SIGINT');
  const { code, out } = await ended;
  return { code: child.signalCode === 'SIGINT' ? 130 : code, out, err, seconds: (performance.now() - begin) / 1000 };
}

describe('Ctrl-C', () => {
  it('ends the pass over a long prompt at once', async () => {
    const text = 'The state of the Union is strong. '.repeat(TOKENS / 10);
    const { code, out, err, seconds } = await interrupted(['generate', 'long', '--prompt', '-'], text, (err) => err().includes('prompt: '));
    expect({ code, out }).toEqual({ code: 130, out: '' });
    expect(err).toMatch(/^(?:encoding: [^\n]*\n)?prompt: \d+ of \d{5} \(\d+ %\)[^\n]*\n\nmixsga: stopping[^\n]*\nmixsga: stopped after 0 tokens\n$/);
    expect(seconds).toBeLessThan(10);
  }, SLOW);

  it('ends the wait for a prompt', async () => {
    const { child, ended } = start(folder, ['generate', 'long', '--prompt', '-']);
    child.stdin!.write('The state of');
    await new Promise((resolve) => setTimeout(resolve, 3000)); // nothing tells when it waits
    child.kill('SIGINT');
    const { code, out, err } = await ended;
    expect({ code: child.signalCode === 'SIGINT' ? 130 : code, out }).toEqual({ code: 130, out: '' });
    expect(err).toMatch(/^$|mixsga: stopped\n$/);
  }, SLOW);

  it('ends an evaluation within a window, which shows how much of it is done', async () => {
    const path = join(folder, 'long.txt');
    await writeFile(path, 'The state of the Union is strong. '.repeat(TOKENS / 10));
    const args = ['eval', 'long', '--tasks', 'perplexity', '--data', path, '--out', join(folder, 'results')];
    const { code, out, err, seconds } = await interrupted(args, null, (err) => err().includes('perplexity: 0 of'));
    expect({ code, out }).toEqual({ code: 130, out: '' });
    expect(err).toMatch(/mixsga: stopped; go on with: mixsga eval long [^\n]* --resume\n$/);
    expect(await readdir(join(folder, 'results')).catch(() => [])).toEqual([]); // no sample is finished
    expect(seconds).toBeLessThan(10);
  }, SLOW);
});
