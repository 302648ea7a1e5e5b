import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { metricRows, run, type Running, start, until, writeCorpus } from './testing/command-line';

const SLOW = 240_000;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

const shared = {
  data: { corpus: 'corpus.txt', vocabularySize: 300 },
  sequenceLength: 32, batchSize: 4, optimizer: { learningRate: 0.01 }, evaluateEvery: 0, finalEvaluationWindows: 2,
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-parent-'));
  await writeCorpus(folder);
  const init = { layers: 1, hiddenSize: 16, heads: 4, ffnSize: 16, contextLength: 32 };
  await writeFile(at('base.json'), JSON.stringify({ ...shared, model: { init }, tokens: 128 }));
  expect((await run(folder, ['train', 'base.json', '--out', 'base'])).code).toBe(0);
  // Longer than anybody waits, and without a checkpoint on the way.
  const methods = [{ name: 'MHA', attention: 'mha' }, { name: 'GQA', attention: 'gqa:2' }];
  const endless = { kind: 'comparison', from: 'base', methods, concurrency: 2, tokens: 1e9, checkpointEvery: 1e6 };
  await writeFile(at('endless.json'), JSON.stringify({ ...shared, ...endless }));
  const grid = { 'model.attention': ['mha', 'gqa:2'] };
  const sweep = { kind: 'sweep', base: { ...shared, model: { from: 'base' }, tokens: 1e9, checkpointEvery: 1e6 }, grid };
  await writeFile(at('sweep.json'), JSON.stringify(sweep));
}, SLOW);
afterAll(() => rm(folder, { recursive: true }));

/** Pids of the processes that live and that `pid` started. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && statOf(name)[1] === String(pid)).map(Number);
}

/** The fields of a process after its name: state, parent, …; none of one that is gone. */
function statOf(pid: number | string): string[] {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return status.slice(status.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

const lives = (pid: number): boolean => !['Z', undefined].includes(statOf(pid)[0]);

const rows = (out: string, name: string): number => metricRows(at(out, 'runs', name, 'metrics.jsonl')).length;

/** What a test has started, so that a failure leaves nothing behind. */
const started = new Set<number>();
afterAll(() => {
  for (const pid of started) if (lives(pid)) process.kill(pid, 'SIGKILL');
});

/** Starts an experiment and waits until both of its runs are there. */
async function experiment(config: string, out: string): Promise<Running & { children: number[] }> {
  const running = start(folder, ['train', config, '--out', out, '--resume']);
  const pid = running.child.pid!;
  started.add(pid);
  let children: number[] = [];
  await until(() => (children = childrenOf(pid)).length === 2 || running.child.exitCode !== null);
  for (const child of children) started.add(child);
  expect(children).toHaveLength(2);
  return { ...running, children };
}

describe.runIf(process.platform === 'linux')('the runs of an experiment', () => {
  it.each([
    ['endless.json', 0],
    ['sweep.json', 400],
  ])('end with a parent that is killed: %s, %d ms after their start', async (config, delay) => {
    const out = `killed-${delay}`;
    const { child, ended, children } = await experiment(config, out);
    await new Promise((resolve) => setTimeout(resolve, delay));
    child.kill('SIGKILL');
    await ended;
    await until(() => !children.some(lives));
  }, SLOW);

  it('end with a parent that is killed while they train, and the next one takes over', async () => {
    const { child, ended, children } = await experiment('endless.json', 'trained');
    await until(() => rows('trained', 'mha-seed0') > 2 && rows('trained', 'gqa-seed0') > 2);
    child.kill('SIGKILL');
    await ended;
    // The next one takes the folder over at once, and waits for the runs that still end.
    const next = await experiment('endless.json', 'trained');
    expect(children.some(lives)).toBe(false);
    next.child.kill('SIGTERM');
    expect(await next.ended).toMatchObject({ code: 130, err: expect.stringMatching(/\nmixsga: stopped; continue with: mixsga train endless\.json --out trained --resume\n$/) as string });
    await until(() => !next.children.some(lives));
  }, SLOW);

  it('stop when the parent is asked to while they start', async () => {
    const { child, ended, children } = await experiment('endless.json', 'asked');
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    await until(() => !children.some(lives));
  }, SLOW);

  it('end at once at the second Ctrl-C, and the next one goes on', async () => {
    const { child, ended, children } = await experiment('endless.json', 'twice');
    await until(() => rows('twice', 'mha-seed0') > 0);
    for (const pid of children) process.kill(pid, 'SIGSTOP'); // as if they took their time
    child.kill('SIGINT');
    let told = '';
    child.stderr!.on('data', (text) => (told += String(text)));
    await until(() => told.includes('stopping'));
    child.kill('SIGINT');
    await ended;
    expect(child.signalCode).toBe('SIGINT');
    for (const pid of children) process.kill(pid, 'SIGCONT');
    await until(() => !children.some(lives));
    const next = await experiment('endless.json', 'twice');
    next.child.kill('SIGINT');
    expect((await next.ended).code).toBe(130);
  }, SLOW);
});
