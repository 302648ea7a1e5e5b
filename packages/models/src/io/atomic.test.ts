import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeLeftovers, temporaryPath, writeDirectoryAtomic, writeFileAtomic, writeSynced } from './atomic';
import { hasEnded, thisProcess } from './owner';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-atomic-'))));
afterEach(() => rm(folder, { recursive: true }));

describe('writeFileAtomic', () => {
  it('replaces a file and leaves nothing beside it', async () => {
    const path = join(folder, 'a.json');
    await writeFile(path, 'old');
    await writeFileAtomic(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await readdir(folder)).toEqual(['a.json']);
  });

  it('leaves nothing when the target is a folder', async () => {
    const path = join(folder, 'a.json');
    await mkdir(path);
    await expect(writeFileAtomic(path, 'new')).rejects.toThrow(`${path}: cannot write: a folder is there`);
    expect(await readdir(folder)).toEqual(['a.json']);
  });

  it('makes the folder', async () => {
    const path = join(folder, 'none', 'a.json');
    await writeFileAtomic(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
  });
});

describe('writeDirectoryAtomic', () => {
  it('replaces a folder by a whole one', async () => {
    const path = join(folder, 'a');
    await mkdir(path);
    await writeFile(join(path, 'old'), '');
    await writeDirectoryAtomic(path, (temporary) => writeSynced(join(temporary, 'new'), ''));
    expect(await readdir(path)).toEqual(['new']);
    expect(await readdir(folder)).toEqual(['a']);
  });

  it('leaves the old folder, and nothing beside it, when it cannot be filled', async () => {
    const path = join(folder, 'a');
    await mkdir(path);
    const stopped = new Error('stopped');
    const failing = writeDirectoryAtomic(path, async (temporary) => {
      await writeSynced(join(temporary, 'half'), '');
      throw stopped;
    });
    await expect(failing).rejects.toBe(stopped);
    expect(await readdir(folder)).toEqual(['a']);
  });
});

describe('removeLeftovers', () => {
  /** The name of a temporary file as another process would have given it. */
  const nameOf = async (owner: Partial<{ host: string; pid: number; start: string }>) => {
    const { host, pid, start } = { ...(await thisProcess()), ...owner };
    return basename(await temporaryPath('a')).replace(/mixsga-.*-(?=[^-]*$)/, `mixsga-${host}-${pid}-${start}-`);
  };
  const left = async () => (await readdir(folder)).sort();

  it('removes files and folders of processes that ended, and nothing else', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const dead = [await nameOf({ pid }), await nameOf({ pid, start: '1' })];
    await writeFile(join(folder, dead[0]!), 'half');
    await mkdir(join(folder, dead[1]!, 'deep'), { recursive: true });
    const others = ['a', '.tmp-mine', 'a.tmp', `.a.${pid}.tmp`, dead[0]!.slice(1), `${dead[0]!}.bak`, await nameOf({})];
    for (const name of others) await writeFile(join(folder, name), '');
    await removeLeftovers(folder);
    expect(await left()).toEqual(others.sort());
  });

  it('keeps what a living process is writing', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      const { pid } = child as { pid: number };
      await writeFile(join(folder, await nameOf({ pid, start: '0' })), '');
      await removeLeftovers(folder);
      expect(await left()).toHaveLength(1);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it.runIf(process.platform === 'linux')('knows a process from a later one of the same number', async () => {
    await writeFile(join(folder, await nameOf({ start: '1' })), '');
    await removeLeftovers(folder);
    expect(await left()).toEqual([]);
    expect(await hasEnded(await thisProcess())).toBe(false);
  });

  it('keeps what another machine wrote within a day', async () => {
    const names = [await nameOf({ host: '00000000' }), await nameOf({ host: '00000000' })];
    for (const name of names) await writeFile(join(folder, name), '');
    const old = new Date(Date.now() - 48 * 3600 * 1000);
    await utimes(join(folder, names[1]!), old, old);
    await removeLeftovers(folder);
    expect(await left()).toEqual([names[0]]);
    expect(await hasEnded({ host: '00000000', pid: process.pid, start: '1' })).toBeUndefined();
  });

  it('is part of every write', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await writeFile(join(folder, await nameOf({ pid })), 'half');
    await writeFileAtomic(join(folder, 'b'), 'whole');
    expect(await left()).toEqual(['b']);
  });
});
