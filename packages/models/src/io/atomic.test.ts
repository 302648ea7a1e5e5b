import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeLeftovers, temporaryPath, writeDirectoryAtomic, writeFileAtomic, writeSynced } from './atomic';
import { type Owner, stateOf, stateOfTag, tagOf, thisProcess } from './owner';

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

describe('writeSynced', () => {
  it('writes no file that is there', async () => {
    const path = join(folder, 'a');
    await writeSynced(path, Uint8Array.of(1, 2));
    expect([...(await readFile(path))]).toEqual([1, 2]);
    await expect(writeSynced(path, 'other')).rejects.toThrow('EEXIST');
    expect([...(await readFile(path))]).toEqual([1, 2]);
  });
});

describe('thisProcess', () => {
  it('is this machine, number and start', async () => {
    const own = thisProcess();
    expect(own).toMatchObject({ host: hostname(), pid: process.pid });
    if (process.platform !== 'linux') return;
    // A name without spaces, so that the fields can be counted.
    const fields = (await readFile('/proc/self/stat', 'utf8')).replace(/\(.*\)/s, 'name').split(' ');
    expect(own.start).toBe(fields[21]);
  });

  it('lives, whatever start another system gives', () => {
    const own = thisProcess();
    expect(stateOf(own)).toBe('alive');
    expect(stateOf({ ...own, start: null })).toBe('alive');
    expect(stateOf({ ...own, pid: 2 ** 22 + 1 })).toBe('dead'); // beyond the largest number of a process
    expect(stateOf({ ...own, pid: 1, start: null })).toBe('alive');
  });
});

describe('temporaryPath', () => {
  it('is another each time, beside its path', async () => {
    const paths = await Promise.all(Array.from({ length: 20 }, () => temporaryPath(join(folder, 'a.json'))));
    expect(new Set(paths).size).toBe(20);
    for (const path of paths) expect(path).toMatch(new RegExp(`^${folder}/\\.a\\.json\\.mixsga-${tagOf(thisProcess())}-[0-9a-z]{4,8}\\.tmp$`));
  });
});

describe('removeLeftovers', () => {
  /** The name of a temporary file as another process would have given it. */
  const nameOf = async (owner: Partial<Owner>) =>
    basename(await temporaryPath('a')).replace(tagOf(thisProcess()), tagOf({ ...thisProcess(), ...owner }));
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
      await writeFile(join(folder, await nameOf({ pid, start: null })), '');
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
    expect(stateOf(thisProcess())).toBe('alive');
    expect(stateOfTag(tagOf(thisProcess()))).toBe('alive');
  });

  it('keeps what another machine wrote within a day', async () => {
    const names = [await nameOf({ host: 'other' }), await nameOf({ host: 'other' })];
    for (const [i, hours] of [23.5, 24.01].entries()) {
      await writeFile(join(folder, names[i]!), '');
      const old = new Date(Date.now() - hours * 3600 * 1000);
      await utimes(join(folder, names[i]!), old, old);
    }
    await removeLeftovers(folder);
    expect(await left()).toEqual([names[0]]);
    expect(stateOf({ ...thisProcess(), host: 'other' })).toBe('elsewhere');
  });

  it('has nothing to do in a folder that there is not', async () => {
    await removeLeftovers(join(folder, 'none'));
    expect(await left()).toEqual([]);
  });

  it('judges a name as it judges the process: by machine, boot, container, number and start', () => {
    const { machine } = thisProcess();
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const others: Partial<Owner>[] = [{}, { host: 'other' }, { machine: 'other' }, { boot: 'earlier' }, { pidNamespace: 'other' }, { pid }, { start: '1' }, { start: null }];
    const states = others.map((other) => stateOf({ ...thisProcess(), ...other }));
    expect(states).toEqual(['alive', 'elsewhere', 'elsewhere', machine === null ? 'elsewhere' : 'dead', 'elsewhere', 'dead', process.platform === 'win32' ? 'alive' : 'dead', 'alive']);
    expect(others.map((other) => stateOfTag(tagOf({ ...thisProcess(), ...other })))).toEqual(states);
  });

  it('is part of every write', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await writeFile(join(folder, await nameOf({ pid })), 'half');
    await writeFileAtomic(join(folder, 'b'), 'whole');
    expect(await left()).toEqual(['b']);
  });
});
