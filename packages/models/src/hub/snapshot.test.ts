import { ArgumentError, FileError } from '@mixsga/backend';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeSafetensors, fromFloat32 } from '../io/safetensors';
import { temporaryPath } from '../io/atomic';
import { type Owner, tagOf, thisProcess } from '../io/owner';
import { openCheckpoint } from '../checkpoints/open-checkpoint';
import { resolveModel } from '../zoo';
import type { DownloadProgress } from './progress';
import { FolderCache } from './folder-cache';
import { hubSettings } from './settings';
import { downloadModel, fetchModel } from './snapshot';
import { COMMIT, hashOf, HubServer, HUB_VARIABLES } from './testing/hub-server';

const text = (content: string) => new TextEncoder().encode(content);
const values = Float32Array.from({ length: 5000 }, (_, i) => i / 7);
const weights = encodeSafetensors(new Map([['w', fromFloat32(values, [50, 100])]]), { format: 'pt' });
const shard = (name: string, from: number, to: number) =>
  encodeSafetensors(new Map([[name, fromFloat32(values.slice(from, to), [to - from])]]));
const common: [string, Uint8Array][] = [
  ['config.json', text('{"model_type": "opt"}')],
  ['tokenizer.json', text('{"model": {}}')],
  ['README.md', text('nobody needs it')],
];
const whole = new Map([...common, ['model.safetensors', weights], ['pytorch_model.bin', text('x'.repeat(5000))]]);
const sharded = new Map([
  ...common,
  ['model.safetensors.index.json', text('{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}')],
  ['model-00001-of-00002.safetensors', shard('a', 0, 2000)],
  ['model-00002-of-00002.safetensors', shard('b', 2000, 5000)],
  ['model-00003-of-00003.safetensors', shard('c', 0, 1000)],
]);

let home: string;
let server: HubServer;
const serve = async (files: ReadonlyMap<string, Uint8Array>) => {
  server = new HubServer(files);
  await server.start();
  vi.stubEnv('HF_ENDPOINT', `${server.endpoint}/`);
};
const repository = () => join(home, 'hub/models--org--tiny');
const blobs = () => readdir(join(repository(), 'blobs'));

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mixsga-hub-'));
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_HOME', home);
  await serve(whole);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.stop();
  await rm(home, { recursive: true });
});

describe('downloadModel', () => {
  it('fetches what is needed into the layout of the Python tools', async () => {
    const files = await downloadModel('org/tiny');
    expect(files.where).toBe(join(repository(), 'snapshots', COMMIT));
    expect((await readdir(files.where)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(await readFile(join(repository(), 'refs/main'), 'utf8')).toBe(COMMIT);
    const link = join(files.where, 'model.safetensors');
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readlink(link)).toBe(`../../blobs/${hashOf(weights)}`);
    expect(new Uint8Array(await readFile(link))).toEqual(weights);
    expect((await blobs()).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'].map((n) => hashOf(whole.get(n)!)).sort());
  });

  it('opens as a checkpoint and as a folder by its id', async () => {
    const { tensors, config, tokenizer } = await openCheckpoint('org/tiny@v1');
    expect(config).toEqual({ model_type: 'opt' });
    expect(await tensors.read('w')).toEqual(values);
    expect((await tokenizer()).json).toEqual({ model: {} });
    await tensors.close();
    expect((await resolveModel('org/tiny')).directory).toBe(join(repository(), 'snapshots', COMMIT));
    expect(await readFile(join(repository(), 'refs/v1'), 'utf8')).toBe(COMMIT);
  });

  it('fetches the shards that the index lists, and no other', async () => {
    await server.stop();
    await serve(sharded);
    const { tensors } = await openCheckpoint('org/tiny');
    expect(await tensors.read('b')).toEqual(values.slice(2000));
    expect([...tensors.tensors.keys()].sort()).toEqual(['a', 'b']);
    await tensors.close();
    expect(server.requests.filter(({ path }) => path.includes('00003'))).toEqual([]);
  });

  it('fetches nothing twice, and not even asks for a commit that is here', async () => {
    await downloadModel('org/tiny');
    server.requests.length = 0;
    await downloadModel('org/tiny');
    expect(server.requests.map(({ path }) => path.split('?')[0])).toEqual(['/api/models/org/tiny/revision/main', `/api/models/org/tiny/tree/${COMMIT}`]);
    server.requests.length = 0;
    await downloadModel(`org/tiny@${COMMIT}`);
    expect(server.requests).toEqual([]);
  });

  it('asks for each file once, the small ones before the weights', async () => {
    await server.stop();
    await serve(sharded);
    const [id, settings] = [{ name: 'org/tiny', revision: 'main' }, await hubSettings()];
    const cache = new FolderCache(id, settings);
    const fetched = vi.spyOn(cache, 'fetch');
    const seen: DownloadProgress[] = [];
    let early: readonly string[] = [];
    await fetchModel(id, cache, settings, { progress: (progress) => seen.push(progress), beforeWeights: async ({ names }) => void (early = await Promise.resolve(names)) });
    expect([...early].sort()).toEqual(['config.json', 'tokenizer.json']);
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    expect(fetched.mock.calls.map(([{ path }]) => path)).toEqual(['config.json', 'tokenizer.json', 'model.safetensors.index.json', ...shards]);
    const total = [...fetched.mock.calls].reduce((sum, [{ size }]) => sum + size, 0);
    expect(seen.at(-1)).toMatchObject({ bytes: total, total, file: shards[1] });
  });

  it('removes what processes that ended left: links, and parts of files that nobody goes on with', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const snapshots = [COMMIT, 'c'.repeat(40)].map((commit) => join(repository(), 'snapshots', commit));
    const nameOf = async (owner: Partial<Owner>) => basename(await temporaryPath('config.json')).replace(tagOf(thisProcess()), tagOf({ ...thisProcess(), ...owner }));
    const [dead, alive] = [await nameOf({ pid }), await nameOf({})];
    for (const folder of [...snapshots, join(repository(), 'refs')]) {
      await mkdir(folder, { recursive: true });
      for (const name of [dead, alive]) await symlink('../../blobs/gone', join(folder, name));
    }
    const parts = ['old', 'new', 'other'].map((name) => join(repository(), 'blobs', `${name}${name === 'other' ? '.incomplete' : '.mixsga.incomplete'}`));
    await mkdir(join(repository(), 'blobs'));
    for (const part of parts) await writeFile(part, 'half');
    const old = new Date(Date.now() - 48 * 3600 * 1000);
    for (const part of [parts[0]!, parts[2]!]) await utimes(part, old, old);
    await downloadModel('org/tiny');
    for (const folder of [...snapshots, join(repository(), 'refs')]) {
      const names = await readdir(folder);
      expect(names).toContain(alive);
      expect(names).not.toContain(dead);
    }
    expect(parts.map((part) => existsSync(part))).toEqual([false, true, true]); // the last is Python's
  });

  it('fetches configuration and tokenizer alone when it is asked to', async () => {
    const files = await downloadModel('org/tiny', { weights: false });
    expect([...files.names].sort()).toEqual(['config.json', 'tokenizer.json']);
  });

  it('reports bytes, rate and time left', async () => {
    const reports: DownloadProgress[] = [];
    await downloadModel('org/tiny', { progress: (report) => reports.push(report) });
    const total = ['config.json', 'tokenizer.json', 'model.safetensors'].reduce((sum, name) => sum + whole.get(name)!.length, 0);
    const last = reports.at(-1)!;
    expect(last).toMatchObject({ file: 'model.safetensors', fileBytes: weights.length, fileSize: weights.length, bytes: total, total, secondsLeft: 0 });
    expect(last.rate).toBeGreaterThan(0);
    reports.reduce((before, { bytes }) => (expect(bytes).toBeGreaterThanOrEqual(before), bytes), 0);
    reports.length = 0;
    await downloadModel('org/tiny', { progress: (report) => reports.push(report) });
    expect(reports.at(-1)).toMatchObject({ bytes: total, total, rate: 0, secondsLeft: null });
  });

  it('finds the cache by HF_HUB_CACHE', async () => {
    vi.stubEnv('HF_HUB_CACHE', join(home, 'elsewhere'));
    expect((await downloadModel('org/tiny')).where).toContain('elsewhere/models--org--tiny/snapshots');
  });
});

describe('a connection that fails', () => {
  const ranges = () => server.requests.filter(({ at }) => at === 'cdn').map(({ range }) => range);

  it('is made again from the byte that was reached', async () => {
    server.cuts = [6000, 4000];
    const files = await downloadModel('org/tiny');
    expect(ranges()).toEqual([`bytes=0-${weights.length - 1}`, `bytes=6000-${weights.length - 1}`, `bytes=10000-${weights.length - 1}`]);
    expect(new Uint8Array(await readFile(files.path('model.safetensors')))).toEqual(weights);
  });

  it('is made again when the server knows no ranges', async () => {
    server.ranges = false;
    server.cuts = [6000];
    const files = await downloadModel('org/tiny');
    expect(new Uint8Array(await readFile(files.path('model.safetensors')))).toEqual(weights);
  });

  it('is made again after a status that may pass', async () => {
    server.failures = { status: 503, times: 2 };
    await downloadModel('org/tiny');
    expect(server.requests.filter(({ path }) => path.includes('config.json')).length).toBe(3);
  });

  it('is resumed by another run', async () => {
    const controller = new AbortController();
    const partial = join(repository(), 'blobs', `${hashOf(weights)}.mixsga.incomplete`);
    server.cuts = [6000, 0, 0, 0];
    const cut = downloadModel('org/tiny', { signal: controller.signal });
    const refused = expect(cut).rejects.toThrow('enough');
    await vi.waitFor(async () => expect((await lstat(partial)).size).toBe(6000), { interval: 5 });
    controller.abort(new Error('enough'));
    await refused;
    server.cuts = [];
    expect(existsSync(join(repository(), 'refs/main'))).toBe(false);
    server.requests.length = 0;
    await downloadModel('org/tiny');
    expect(ranges()).toEqual([`bytes=6000-${weights.length - 1}`]);
    expect(existsSync(partial)).toBe(false);
  });

  it('is made from the start when what another run left is something else', async () => {
    await mkdir(join(repository(), 'blobs'), { recursive: true });
    await writeFile(join(repository(), 'blobs', `${hashOf(weights)}.mixsga.incomplete`), 'other bytes');
    const files = await downloadModel('org/tiny');
    expect(ranges()).toEqual([`bytes=11-${weights.length - 1}`, `bytes=0-${weights.length - 1}`]);
    expect(new Uint8Array(await readFile(files.path('model.safetensors')))).toEqual(weights);
  });
});

describe('what is refused', () => {
  const fails = async (message: string | RegExp, id = 'org/tiny') => {
    const error: unknown = await downloadModel(id).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toMatch(/\n|secret/);
  };

  it('content of another hash, of which nothing is left', async () => {
    server.corrupt = true;
    await fails(`expected content of the hash ${hashOf(weights)}, got another; nothing was kept, run again`);
    expect(await blobs()).not.toContain(hashOf(weights));
    expect((await blobs()).filter((name) => name.endsWith('incomplete'))).toEqual([]);
    expect(existsSync(join(repository(), 'refs/main'))).toBe(false);
    server.corrupt = false;
    await downloadModel('org/tiny');
  });

  it.each([false, true])('a private or gated model (%s) without a token, or with one that has no access', async (gated) => {
    server.requiredToken = 'hf_right';
    server.gated = gated;
    await fails(/the hub answers 401: check the name; if the model is gated or private, get access at .*org\/tiny, and run `hf auth login` or set HF_TOKEN/);
    vi.stubEnv('HF_TOKEN', 'hf_wrong');
    await fails(/the hub answers 401: the token \(HF_TOKEN, or that of `hf auth login`\) has no access/);
  });

  it('a model or revision that there is not', async () => {
    await fails('the hub answers 404: no model org/none with a revision main; check both names', 'org/none');
    await fails('no model org/tiny with a revision v9', 'org/tiny@v9');
  });

  it('an id that is none', async () => {
    for (const id of ['org/tiny@../../x', 'org/..', 'org/a--b', 'tiny', 'a/b/c', 'org/tiny@']) {
      await expect(downloadModel(id), id).rejects.toThrow(ArgumentError);
    }
  });

  it.each<[string, object]>([
    ['a name that leads elsewhere', { path: '../config.json' }],
    ['a hash that is none', { oid: '../../x' }],
    ['a size that is none', { size: -1 }],
  ])('a listing with %s', async (_, change) => {
    server.listing = ([first, ...rest]) => [{ ...first, ...change }, ...rest];
    await fails('expected the hub to list names, sizes and hashes');
    expect(existsSync(repository())).toBe(false);
  });

  it('a listing without an end, or of too many bytes', async () => {
    server.endless = true;
    server.listing = () => [{ type: 'directory', oid: 'a', size: 0, path: 'folder' }];
    await fails('expected a list of files of at most 50 pages and 16 MiB, got a longer one; check HF_ENDPOINT');
    expect(server.requests.length).toBe(50);
    server.endless = false;
    server.listing = () => [{ type: 'directory', oid: 'a', size: 0, path: 'x'.repeat(2 ** 24) }];
    await fails('expected a list of files of at most 50 pages and 16 MiB, got a longer one; check HF_ENDPOINT');
  });

  it('an index that lists a shard that there is not', async () => {
    await server.stop();
    await serve(new Map([...sharded].filter(([name]) => name !== 'model-00002-of-00002.safetensors')));
    await fails('lists the shard model-00002-of-00002.safetensors, and the repository has none');
  });

  it('a repository without weights that are read', async () => {
    await server.stop();
    await serve(new Map([...common, ['model.gguf', text('x')]]));
    await fails(/expected weights in one of model.safetensors, .*, got model.gguf/);
  });

  it('a cache that cannot be written', async () => {
    await mkdir(join(home, 'hub'), { recursive: true });
    await appendFile(join(home, 'hub/models--org--tiny'), 'a file where the folder should be');
    await fails(/models--org--tiny: cannot write: /);
  });
});

describe('tokens', () => {
  it('go to the hub and nowhere else', async () => {
    server.requiredToken = 'hf_right';
    vi.stubEnv('HF_TOKEN', 'hf_right\n');
    await downloadModel('org/tiny');
    const seen = (at: string) => [...new Set(server.requests.filter((r) => r.at === at).map(({ token }) => token))];
    expect(seen('hub')).toEqual(['Bearer hf_right']);
    expect(seen('cdn')).toEqual([undefined]);
  });

  it('are those of `hf auth login` where HF_TOKEN is not set', async () => {
    server.requiredToken = 'hf_saved';
    await writeFile(join(home, 'token'), 'hf_saved\n');
    await downloadModel('org/tiny');
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1');
    await expect(downloadModel('org/tiny')).rejects.toThrow('the hub answers 401');
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '');
    vi.stubEnv('HF_TOKEN', 'hf_other');
    await expect(downloadModel('org/tiny')).rejects.toThrow('the hub answers 401');
    vi.stubEnv('HF_TOKEN', '');
    await rm(join(home, 'token'));
    await expect(downloadModel('org/tiny')).rejects.toThrow('the hub answers 401');
    vi.stubEnv('HF_TOKEN_PATH', join(home, 'elsewhere'));
    await writeFile(join(home, 'elsewhere'), 'hf_saved');
    await downloadModel('org/tiny');
  });
});

describe('without a connection', () => {
  it('takes what is in the cache, and says what is not', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expect(downloadModel('org/tiny')).rejects.toThrow('the model is not in the cache, and HF_HUB_OFFLINE is set; unset it, or fetch the model first');
    vi.stubEnv('HF_HUB_OFFLINE', '');
    await downloadModel('org/tiny');
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    server.requests.length = 0;
    const files = await downloadModel('org/tiny');
    expect(server.requests).toEqual([]);
    await rm(files.path('model.safetensors'));
    await expect(downloadModel('org/tiny')).rejects.toThrow(/snapshots.*: the cache lacks weights, and HF_HUB_OFFLINE is set/);
  });

  it('goes on with the cache when the hub cannot be reached', async () => {
    const { where } = await downloadModel('org/tiny');
    await server.stop();
    expect((await downloadModel('org/tiny')).where).toBe(where);
    await expect(downloadModel('org/other')).rejects.toThrow(/org\/other: cannot be reached: .*; check the connection/);
  });

  it('lacks a shard that is gone', async () => {
    await server.stop();
    await serve(sharded);
    const files = await downloadModel('org/tiny');
    await rm(files.path('model-00001-of-00002.safetensors'));
    vi.stubEnv('HF_HUB_OFFLINE', 'true');
    await expect(downloadModel('org/tiny')).rejects.toThrow('the cache lacks model-00001-of-00002.safetensors');
  });
});
