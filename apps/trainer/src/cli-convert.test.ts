import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CLI, run } from './testing/command-line';

const SLOW = 120_000;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-convert-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('mixsga convert', () => {
  it.each([1, 3])('begins anew where one was killed after %i renames, and touches nothing else', async (renames) => {
    const name = `renamed-${renames}`;
    // Kills the process instead of a rename; the lock is linked, not renamed.
    const hook = at(`kill-${renames}.mjs`);
    writeFileSync(hook, `
      import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const { rename } = fs.promises;
      let left = ${renames};
      fs.promises.rename = async (...paths) => (left-- > 0 ? rename(...paths) : process.kill(process.pid, 'SIGKILL'));
      syncBuiltinESMExports();
    `);
    const args = (attention: string) => ['convert', 'sotu-mini', '--attention', attention, '--out', name];
    const killed = fork(CLI, args('gqa:2'), { cwd: folder, execArgv: ['--import', pathToFileURL(hook).href], stdio: 'ignore' });
    const [, signal] = (await once(killed, 'close')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    expect(readdirSync(at(name)).filter((file) => !file.startsWith('.'))).toHaveLength(renames - 1); // the first is that of the list
    writeFileSync(at(name, 'mine.txt'), 'mine');
    const refused = await run(folder, args('cla:2'));
    expect(refused).toMatchObject({ code: 2, err: `mixsga: --out: ${name} is not empty; give a new folder\n` });
    expect(readdirSync(at(name))).toEqual(['mine.txt']);
    rmSync(at(name, 'mine.txt'));
    expect(await run(folder, args('cla:2'))).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(at(name, 'config.json'), 'utf8')).toContain('cla:2');
    expect(readdirSync(at(name)).filter((file) => file.startsWith('.'))).toEqual([]);
  }, SLOW);

  it('of two commands at once one writes, and the other says who does', async () => {
    const args = ['convert', 'sotu-mini', '--attention', 'gqa:2', '--out', 'twice'];
    const ends = await Promise.all([run(folder, args), run(folder, args)]);
    const done = ends.filter(({ code }) => code === 0);
    const [refused] = ends.filter(({ code }) => code !== 0);
    expect(done).toHaveLength(1);
    expect(refused!.err).toMatch(/^mixsga: (twice: expected no other process in this folder, got pid \d+|--out: twice is not empty)/);
    expect(readdirSync(at('twice'))).toContain('config.json');
    expect(readdirSync(at('twice')).filter((name) => name.startsWith('.'))).toEqual([]);
  }, SLOW);
});
