import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { stateOf } from '@mixsga/models';
import { build } from 'tsup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Holder, newHolder } from './holder';
import { withOutputFolder } from './lock';
import { LOCK_FILE } from './lock-file';

const SLOW = 120_000;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);
const nothing = () => Promise.resolve();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-lock-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a lock as `holder` would have left it. */
function leave(name: string, holder: Partial<Holder>): void {
  mkdirSync(at(name), { recursive: true });
  writeFileSync(at(name, LOCK_FILE), JSON.stringify({ ...newHolder(), ...holder }));
}

/** A pid that was somebody's. */
async function endedPid(): Promise<number> {
  const { pid, ended } = withPid();
  await ended;
  return pid;
}

function withPid(): { pid: number; ended: Promise<unknown> } {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 300)']);
  return { pid: child.pid!, ended: once(child, 'close') };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('withOutputFolder', () => {
  it('locks while it runs, and leaves nothing: no lock, no empty folder', async () => {
    await withOutputFolder(at('a', 'b'), async () => {
      expect(JSON.parse(readFileSync(at('a', 'b', LOCK_FILE), 'utf8'))).toMatchObject({ pid: process.pid, host: hostname() });
      await expect(withOutputFolder(at('a', 'b'), nothing)).rejects.toThrow(
        new RegExp(`a/b: expected no other process in this folder, got pid ${process.pid} on .+ since 20.+Z \\(mixsga.*\\); wait until it has ended or stop it, or choose another --out$`),
      );
    });
    expect(existsSync(at('a'))).toBe(false);
    await expect(withOutputFolder(at('a'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(at('a'))).toBe(false);
    await withOutputFolder(at('kept'), () => Promise.resolve(writeFileSync(at('kept', 'result'), '')));
    expect(readdirSync(at('kept'))).toEqual(['result']);
  });

  it('takes over from a process that is gone, from one whose pid another has, and from before the host started anew', async () => {
    const { machine } = newHolder();
    const dead: Partial<Holder>[] = [
      { pid: await endedPid() },
      ...(process.platform === 'linux' ? [{ start: '1' }] : []),
      ...(machine === null ? [] : [{ boot: 'earlier' }]),
    ];
    for (const [i, holder] of dead.entries()) {
      leave(`dead${i}`, holder);
      writeFileSync(at(`dead${i}`, `${LOCK_FILE}.left.tmp`), '');
      await withOutputFolder(at(`dead${i}`), () => Promise.resolve(expect(readdirSync(at(`dead${i}`))).toHaveLength(2)));
      expect(readdirSync(at(`dead${i}`))).toEqual([]);
    }
  });

  it('does not take over from another host or container, and says what to do', async () => {
    for (const [i, holder] of [{ host: 'other' }, { machine: 'other' }, { pidNamespace: 'other' }].entries()) {
      leave(`far${i}`, { ...holder, command: 'mixsga train x.json', since: '2020-01-01T00:00:00.000Z' });
      await expect(withOutputFolder(at(`far${i}`), nothing)).rejects.toThrow(
        /far\d: .*got pid \d+ on .+ since 2020-01-01T00:00:00\.000Z, last seen 20.+Z \(mixsga train x\.json\); remove .+\/\.mixsga\.lock if it has ended there, or choose another --out$/,
      );
      expect(existsSync(at(`far${i}`, LOCK_FILE))).toBe(true);
    }
  });

  it('waits as long as asked for a process that ends', async () => {
    const { pid, ended } = withPid();
    leave('waited', { pid, start: null });
    await withOutputFolder(at('waited'), nothing, { patience: SLOW });
    await ended;
    leave('stopped', {});
    const signal = AbortSignal.timeout(50);
    await expect(withOutputFolder(at('stopped'), nothing, { patience: SLOW, signal })).rejects.toThrow('stopped before it began');
  }, SLOW);

  it('names a lock that is none', async () => {
    mkdirSync(at('odd'));
    writeFileSync(at('odd', LOCK_FILE), '');
    await expect(withOutputFolder(at('odd'), nothing)).rejects.toThrow(/odd\/\.mixsga\.lock: expected a lock of mixsga, got something else; remove it when no process/);
    writeFileSync(at('file'), '');
    await expect(withOutputFolder(at('file'), nothing)).rejects.toThrow(/file: cannot write: a file is there, expected a folder/);
  });
});

describe.runIf(process.platform === 'linux')('stateOf', () => {
  it('a process that ended and was not waited for is dead', async () => {
    // A shell that replaces itself never asks for the exit code of its child.
    const shell = spawn('sh', ['-c', 'true & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const [line] = (await once(shell.stdout, 'data')) as [Buffer];
      const pid = Number(String(line));
      await until(() => !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
      expect(stateOf({ ...newHolder(), pid, start: null })).toBe('dead');
    } finally {
      shell.kill('SIGKILL');
    }
  });
});

describe('many processes', () => {
  /** Takes the lock of a folder a number of times, is never alone when another has it, and kills itself with it now and then. */
  const CONTENDER = `
    import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
    import { tryLock } from './lock-file.js';
    const [folder, rounds, seed] = process.argv.slice(2);
    const inside = folder + '/inside';
    let random = Number(seed);
    const next = () => (random = (random * 48271) % 2147483647) / 2147483647;
    const alive = (pid) => { try { process.kill(pid, 0); return true; } catch { return false; } };
    for (let taken = 0; taken < rounds; ) {
      const lock = tryLock(folder);
      if (!('release' in lock)) { await new Promise((resolve) => setTimeout(resolve, 3 * next())); continue; }
      let file;
      try { file = openSync(inside, 'wx'); } catch {
        // Whoever was killed leaves the file, and its pid goes once its parent has heard of it.
        const other = Number(readFileSync(inside, 'utf8'));
        while (alive(other) && existsSync(inside)) await new Promise((resolve) => setTimeout(resolve, 1));
        if (!existsSync(inside)) { process.send('two'); process.exit(1); }
        file = openSync(inside, 'w');
      }
      writeSync(file, String(process.pid).padEnd(9));
      closeSync(file);
      taken++;
      process.send('taken');
      if (next() < 0.3) await new Promise((resolve) => setTimeout(resolve, 2 * next()));
      if (next() < 0.1) process.kill(process.pid, 'SIGKILL');
      rmSync(inside);
      lock.release();
    }
    process.disconnect();
  `;

  it('one at a time has the folder, through kills', async () => {
    const outDir = at('bundle');
    const entry = fileURLToPath(new URL('lock-file.ts', import.meta.url));
    // Of the packages what the lock needs alone, which a child starts with at once.
    const source = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
    const needed = at('needed.ts');
    writeFileSync(needed, `export { makeFolderSync } from '${source('models/src/io/fs.ts')}';\nexport { stateOf, thisProcess } from '${source('models/src/io/owner.ts')}';\n`);
    await build({
      ...{ entry: { 'lock-file': entry }, outDir, format: 'esm', config: false, silent: true, dts: false, splitting: false, outExtension: () => ({ js: '.js' }) },
      ...{ noExternal: [/^@mixsga/], esbuildOptions: (options) => void (options.alias = { '@mixsga/models': needed, '@mixsga/backend': source('backend/src/errors.ts') }) },
    });
    writeFileSync(join(outDir, 'package.json'), '{"type": "module"}');
    const contender = join(outDir, 'contender.js');
    writeFileSync(contender, CONTENDER);
    let taken = 0;
    const problems: unknown[] = [];
    const contend = async (seed: number): Promise<void> => {
      for (let life = 0; life < 6; life++) {
        const child: ChildProcess = fork(contender, [at('contended'), '40', String(seed * 100 + life + 1)], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
        child.stderr!.on('data', (text) => problems.push(String(text)));
        child.on('message', (message) => (message === 'taken' ? taken++ : problems.push(message)));
        const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
        if (signal === null) {
          if (code !== 0) problems.push(code);
          return;
        }
      }
    };
    await Promise.all([1, 2, 3].map(contend));
    expect(problems).toEqual([]);
    expect(taken).toBeGreaterThan(60);
    await withOutputFolder(at('contended'), nothing);
    expect(readdirSync(at('contended')).filter((name) => name.startsWith('.'))).toEqual([]);
  }, SLOW);
});
