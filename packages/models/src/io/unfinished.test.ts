import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { removeLeftovers } from './atomic';
import { removeUnfinished, renameAll } from './unfinished';

const NAMES = ['model.safetensors', 'tokenizer.json', 'config.json'];
/** Renames: of the list, and of each file. */
const RENAMES = 1 + NAMES.length;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mixsga-unfinished-'));
  const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  await build({
    ...{ entry: { unfinished: source('unfinished.ts'), atomic: source('atomic.ts') }, outDir: join(root, 'bundle'), format: 'esm', config: false, silent: true, dts: false },
    ...{ noExternal: [/^@mixsga/], outExtension: () => ({ js: '.js' }) },
    esbuildOptions: (options) => void (options.alias = { '@mixsga/backend': source('../../../backend/src/errors.ts') }),
  });
  await writeFile(join(root, 'bundle', 'package.json'), '{"type": "module"}');
  // Kills itself, or stays, instead of its rename of a number, or of the removal of the list after the last.
  await writeFile(join(root, 'bundle', 'saving.js'), `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    const [folder, left, signal] = process.argv.slice(2);
    const { rename, rm } = fs.promises;
    let done = 0;
    const stop = async () => { if (signal === 'SIGKILL') process.kill(process.pid, signal); process.send('here'); await new Promise(() => setInterval(() => {}, 1000)); };
    fs.promises.rename = async (...paths) => { if (done++ === Number(left)) await stop(); return rename(...paths); };
    fs.promises.rm = async (...paths) => { if (done >= ${RENAMES}) await stop(); return rm(...paths); };
    syncBuiltinESMExports();
    const { temporaryPath, writeSynced } = await import('./atomic.js');
    const { renameAll } = await import('./unfinished.js');
    const files = [];
    for (const name of ${JSON.stringify(NAMES)}) {
      files.push({ name, temporary: await temporaryPath(folder + '/' + name) });
      await writeSynced(files.at(-1).temporary, 'of the killed one: ' + name);
    }
    await renameAll(folder, files, async () => undefined);
  `);
});
afterAll(() => rm(root, { recursive: true }));

async function folderOf(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}

/** What a process left that was killed after this many renames. */
async function killed(name: string, left: number): Promise<string> {
  const folder = await folderOf(name);
  const { signal, stderr } = spawnSync(process.execPath, [join(root, 'bundle', 'saving.js'), folder, String(left), 'SIGKILL'], { encoding: 'utf8' });
  expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
  return folder;
}

describe('removeUnfinished', () => {
  it.each(Array.from({ length: RENAMES + 1 }, (_, left) => left))('after a kill with %i renames done nothing is left, and what others put there stays', async (left) => {
    const folder = await killed(`killed-${left}`, left);
    const before = await readdir(folder);
    expect(before.filter((name) => NAMES.includes(name))).toEqual(NAMES.slice(0, Math.max(0, left - 1)).sort());
    // In the place of one that was renamed, and beside them.
    await writeFile(join(folder, 'mine.txt'), 'mine');
    await rm(join(folder, 'model.safetensors'), { force: true });
    await writeFile(join(folder, 'model.safetensors'), 'mine: model.safetensors..'); // as long as the other
    await removeLeftovers(folder);
    await removeUnfinished(folder);
    expect((await readdir(folder)).sort()).toEqual(['mine.txt', 'model.safetensors']);
    expect(await readFile(join(folder, 'model.safetensors'), 'utf8')).toMatch(/^mine/);
  });

  it('leaves what a living process is at', async () => {
    const folder = await folderOf('alive');
    const child = spawn(process.execPath, [join(root, 'bundle', 'saving.js'), folder, '2', 'none'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    try {
      await once(child, 'message');
      const before = await readdir(folder);
      expect(before).toContain('model.safetensors');
      await removeLeftovers(folder);
      await removeUnfinished(folder);
      expect(await readdir(folder)).toEqual(before);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    await removeLeftovers(folder);
    await removeUnfinished(folder);
    expect(await readdir(folder)).toEqual([]);
  });

  it('touches no folder with a list of another machine, of no sense, or with names that lead out of it', async () => {
    const folder = await killed('odd', 2);
    const list = join(folder, '.mixsga-unfinished.json');
    const { tag, files } = JSON.parse(await readFile(list, 'utf8')) as { tag: string; files: Record<string, string> };
    const identity = files['model.safetensors']!;
    await rename(join(folder, 'model.safetensors'), join(root, 'outside'));
    const [, ...rest] = tag.split('-');
    for (const content of ['', '[]', 'null', JSON.stringify({ tag, files: { '../outside': identity } }), JSON.stringify({ tag: ['11111111', ...rest].join('-'), files })]) {
      await writeFile(list, content);
      await removeUnfinished(folder);
      expect(await readFile(list, 'utf8')).toBe(content);
      expect(await readFile(join(root, 'outside'), 'utf8')).toBe('of the killed one: model.safetensors');
    }
    // That of another machine after a day.
    await rename(join(root, 'outside'), join(folder, 'model.safetensors'));
    const old = new Date(Date.now() - 48 * 3600 * 1000);
    await utimes(list, old, old);
    await removeUnfinished(folder);
    expect((await readdir(folder)).filter((name) => !name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('renameAll', () => {
  it('leaves the files and no list', async () => {
    const folder = await folderOf('whole');
    await writeFile(join(folder, 'a.tmp'), 'new');
    await writeFile(join(folder, 'a'), 'old');
    let seen: string[] = [];
    await renameAll(folder, [{ temporary: join(folder, 'a.tmp'), name: 'a' }], async () => void (seen = await readdir(folder)));
    expect(seen).toContain('.mixsga-unfinished.json');
    expect(await readdir(folder)).toEqual(['a']);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('new');
  });
});
