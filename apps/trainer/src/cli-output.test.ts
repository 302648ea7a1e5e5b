// What commands do where they cannot write: one line, before the work.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { checkOutputFile, writeOutputFile } from '@mixsga/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CLI, run } from './testing/command-line';

const SLOW = 120_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-output-'));
  await writeFile(join(folder, 'file'), 'mine');
});
afterAll(() => rm(folder, { recursive: true }));

/** The command line in a shell, after which nothing is left running. */
async function shell(script: string): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn('bash', ['-o', 'pipefail', '-c', script], { cwd: folder, env: { ...process.env, MIXSGA: `${process.execPath} ${CLI}` } });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

describe('an output that cannot be written is reported before the work, in one line', () => {
  const commands: string[][] = [
    ['eval', 'sotu-mini'],
    ['train', 'sotu-mini'],
    ['demo'],
    ['convert', 'sotu-mini', '--attention', 'gqa:2'],
    ['report', '.'],
  ];
  it.each(commands)('%s', async (...command) => {
    const { code, out, err } = await run(folder, [...command, '--out', 'file/out']);
    expect({ code, out, err }).toEqual({ code: 1, out: '', err: 'mixsga: file/out: cannot write: a part of the path is a file, expected a folder; choose another folder\n' });
  }, SLOW);

  it.runIf(existsSync('/proc/self'))('where no folder can be made, and Node would try for ever', async () => {
    const { code, err } = await run(folder, ['eval', 'sotu-mini', '--out', '/proc/mixsga/out']);
    expect({ code, err }).toEqual({ code: 1, err: 'mixsga: /proc/mixsga/out: cannot write: its folder is gone, or cannot be made here; run again, or choose another folder\n' });
    const json = await run(folder, ['bench', 'kernels', '--json', '/proc/mixsga/out.json']);
    expect({ code: json.code, err: json.err }).toEqual({ code: 1, err: 'mixsga: /proc/mixsga/out.json: cannot write: its folder is gone, or cannot be made here; run again, or choose another folder\n' });
  }, SLOW);

  it.each([['eval', 'sotu-mini'], ['bench', 'train'], ['bench', 'decode'], ['bench', 'prefill'], ['bench', 'kernels']])('%s %s --json', async (...command) => {
    const { code, out, err } = await run(folder, [...command, '--json', 'file/out.json']);
    expect({ code, out, err }).toEqual({ code: 1, out: '', err: 'mixsga: file/out.json: cannot write: a file is there, expected a folder; choose another name\n' });
    expect((await run(folder, [...command, '--json', '.'])).err).toBe('mixsga: .: cannot write: a folder is there, expected a file\n');
  }, SLOW);
});

describe('standard output', () => {
  it('that is closed early ends a command without a word, and standard error that is closed ends none', async () => {
    expect(await shell('$MIXSGA presets | head -1 > first')).toEqual({ code: 0, out: '', err: '' });
    expect((await readFile(join(folder, 'first'), 'utf8')).split('\n')).toHaveLength(2);
    const evaluated = await shell('$MIXSGA eval sotu-mini --tasks perplexity --max-windows 1 --window-length 16 --json whole.json 2> >(exec true) | cat');
    expect(evaluated.code).toBe(0);
    expect(evaluated.out).toMatch(/^perplexity: perplexity [\d.]+/);
    expect(existsSync(join(folder, 'whole.json'))).toBe(true);
  }, SLOW);

  it.runIf(existsSync('/dev/full'))('that is full is reported in a line', async () => {
    expect(await shell('$MIXSGA presets > /dev/full')).toEqual({ code: 1, out: '', err: 'mixsga: standard output: cannot write: disk full; free some space, or choose another folder\n' });
  }, SLOW);
});

describe('an output file', () => {
  it('is checked without a trace', async () => {
    const path = join(folder, 'deep', 'er', 'a.json');
    await checkOutputFile(path);
    expect(readdirSync(folder)).not.toContain('deep');
    await checkOutputFile(join(folder, 'file'));
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('mine');
    await writeOutputFile(path, 'x');
    expect(await readFile(path, 'utf8')).toBe('x');
  });

  it.runIf(existsSync('/dev/full'))('may be a device, which no file takes the place of', async () => {
    await checkOutputFile('/dev/full');
    await expect(writeOutputFile('/dev/full', 'x')).rejects.toThrow('/dev/full: cannot write: disk full; free some space, or choose another folder');
    await writeOutputFile('/dev/null', 'x');
    expect(existsSync('/dev/full')).toBe(true);
    expect(await readFile('/dev/null', 'utf8')).toBe('');
  });
});
