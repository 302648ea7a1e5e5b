import { ArgumentError, FileError } from '@mixsga/backend';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { downloadDataset } from './dataset';
import type { DownloadProgress } from './progress';
import { COMMIT, hashOf, HubServer, HUB_VARIABLES } from './testing/hub-server';

const text = (content: string) => new TextEncoder().encode(content);
const large = Uint8Array.from({ length: 20_000 }, (_, i) => i * i);
const files = new Map([
  ['README.md', text('nobody needs it')],
  ['data/train-00000-of-00001.parquet', large],
  ['data/deep/test set.jsonl', text('{"text": "x"}\n')],
]);
const all = (paths: readonly string[]) => paths.filter((path) => path.startsWith('data/'));
const trainOnly = (paths: readonly string[]) => paths.filter((path) => path.includes('train'));

let home: string;
let server: HubServer;
const repository = () => join(home, 'hub/datasets--org--tiny');

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mixsga-hub-'));
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_HOME', home);
  server = new HubServer(files, 'dataset');
  await server.start();
  vi.stubEnv('HF_ENDPOINT', server.endpoint);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.stop();
  await rm(home, { recursive: true });
});

it('fetches the files that are wanted, folders and all, into the layout of the Python tools', async () => {
  const reports: DownloadProgress[] = [];
  const { names, path, where } = await downloadDataset('org/tiny', { select: all, progress: (report) => reports.push(report) });
  expect(names).toEqual(['data/train-00000-of-00001.parquet', 'data/deep/test set.jsonl']);
  expect(where).toBe(join(repository(), 'snapshots', COMMIT));
  expect(await readFile(path('data/deep/test set.jsonl'), 'utf8')).toBe('{"text": "x"}\n');
  expect(new Uint8Array(await readFile(path(names[0]!)))).toEqual(large);
  expect(await readlink(path(names[0]!))).toBe(`../../../blobs/${hashOf(large)}`);
  expect(await readlink(path(names[1]!))).toMatch(/^\.\.\/\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
  expect(await readdir(where)).toEqual(['data']);
  expect(reports.at(-1)).toMatchObject({ bytes: 20_014, total: 20_014 });
});

it('fetches nothing twice, and what another call wants besides', async () => {
  const content = () => server.requests.filter(({ path }) => path.includes('/resolve/')).map(({ path }) => path.split('/').pop());
  await downloadDataset('org/tiny', { select: trainOnly });
  await downloadDataset('org/tiny', { select: trainOnly });
  expect(content()).toEqual(['train-00000-of-00001.parquet']);
  await downloadDataset('org/tiny', { select: all });
  expect(content()).toEqual(['train-00000-of-00001.parquet', 'test%20set.jsonl']);
  server.requests.length = 0;
  expect((await downloadDataset(`org/tiny@${COMMIT}`, { select: trainOnly })).names).toHaveLength(1);
  expect(server.requests).toEqual([]);
});

it('goes on with a connection that is cut', async () => {
  server.cuts = [6000];
  const { path } = await downloadDataset('org/tiny', { select: trainOnly });
  expect(server.requests.filter(({ at }) => at === 'cdn').map(({ range }) => range)).toEqual(['bytes=0-19999', 'bytes=6000-19999']);
  expect(new Uint8Array(await readFile(path('data/train-00000-of-00001.parquet')))).toEqual(large);
});

it('knows without a connection what is missing', async () => {
  await downloadDataset('org/tiny', { select: trainOnly });
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  expect((await downloadDataset('org/tiny', { select: trainOnly })).names).toHaveLength(1);
  await expect(downloadDataset('org/tiny', { select: all })).rejects.toThrow(
    'the cache lacks data/deep/test set.jsonl, and HF_HUB_OFFLINE is set; unset it, or fetch the data set first',
  );
  await expect(downloadDataset('org/other', { select: all })).rejects.toThrow('the data set is not in the cache, and HF_HUB_OFFLINE is set');
  vi.stubEnv('HF_HUB_OFFLINE', '');
  await server.stop();
  expect((await downloadDataset('org/tiny', { select: trainOnly })).names).toHaveLength(1);
  await expect(downloadDataset('org/tiny', { select: all })).rejects.toThrow(/datasets\/org\/tiny: cannot be reached/);
});

it('refuses what is not there, not sound or not allowed', async () => {
  const fails = async (message: string | RegExp, id = 'org/tiny') => {
    const error: unknown = await downloadDataset(id, { select: all }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FileError);
    expect((error as Error).message).toMatch(message);
  };
  await fails('the hub answers 404: no data set org/none with a revision main; check both names', 'org/none');
  server.corrupt = true;
  await fails(`expected content of the hash ${hashOf(large)}, got another; nothing was kept, run again`);
  server.corrupt = false;
  server.listing = ([first, ...rest]) => [{ ...first, path: '../x' }, ...rest];
  await fails('expected the hub to list names, sizes and hashes');
  server.listing = null;
  server.requiredToken = 'hf_right';
  await fails(/if the data set is gated or private, get access at .*datasets\/org\/tiny, and run `hf auth login` or set HF_TOKEN/);
  await expect(downloadDataset('org/tiny@../x', { select: all })).rejects.toThrow(ArgumentError);
  await expect(downloadDataset('org/..', { select: all })).rejects.toThrow('data set "org/..": expected "organisation/name"');
});
