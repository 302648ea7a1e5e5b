// Training that is killed at any moment, again and again, ends with the same bytes as training that is not.
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SeededRandom } from '@mixsga/backend';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { metricRows, run, start, writeCorpus } from './testing/command-line';

const TOO_LONG = 1_800_000;
const KILLS = Number(process.env.MIXSGA_KILLS ?? 30);

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

const shared = {
  data: { corpus: 'corpus.txt', vocabularySize: 300 },
  sequenceLength: 32, batchSize: 4, tokens: 40 * 128, optimizer: { learningRate: 0.01 },
  evaluateEvery: 8, evaluationWindows: 4, finalEvaluationWindows: 8, checkpointEvery: 3, keepBest: true,
};
const init = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, contextLength: 32 };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-kills-'));
  await writeCorpus(folder);
  await writeFile(at('run.json'), JSON.stringify({ ...shared, model: { init, attention: 'mixsga:3:1:6' } }));
  await writeFile(at('base.json'), JSON.stringify({ ...shared, tokens: 1280, model: { init } }));
  expect((await run(folder, ['train', 'base.json', '--out', 'base'])).code).toBe(0);
  const methods = [{ name: 'GQA', attention: 'gqa:2' }, { name: 'mixSGA', attention: 'mixsga:3:1:6' }];
  const tasks = [{ task: 'perplexity', maxWindows: 8 }];
  await writeFile(at('compare.json'), JSON.stringify({ ...shared, kind: 'comparison', from: 'base', methods, tasks, concurrency: 2 }));
}, TOO_LONG);
afterAll(() => rm(folder, { recursive: true }));

/**
 * Runs a configuration to its end, killed a number of times on the way: each time at a random moment of as long as it takes undisturbed.
 * A run that ended before its kill came begins anew, in another folder.
 */
async function throughKills(config: string, seconds: number): Promise<string> {
  const random = new SeededRandom(7);
  let out = 'killed';
  let kills = 0;
  for (let attempt = 0; kills < KILLS; attempt++) {
    const { child, ended } = start(folder, ['train', config, '--out', out, '--resume']);
    const timer = setTimeout(() => child.kill('SIGKILL'), 1000 * seconds * random.next());
    const { code, err } = await ended;
    clearTimeout(timer);
    if (child.signalCode === 'SIGKILL') kills += 1;
    else expect(`${code} ${err}`).toMatch(/^0 /);
    if (code === 0 && kills < KILLS) {
      expectSame(`whole-${config}`, out);
      out = `killed-${config}-${attempt}`;
    }
  }
  expect(await run(folder, ['train', config, '--out', out, '--resume'])).toMatchObject({ code: 0 });
  return out;
}

/** Folders below one that hold a trained model. */
function models(name: string): string[] {
  return readdirSync(at(name), { recursive: true }).map(String).filter((path) => /(^|\/)result\.json$/.test(path)).map((path) => path.slice(0, -'result.json'.length));
}

function expectSame(whole: string, killed: string): void {
  expect(models(killed)).toEqual(models(whole));
  for (const model of models(whole)) {
    for (const file of ['model.safetensors', 'result.json', 'tokenizer.json']) {
      expect(readFileSync(at(killed, model, file)).equals(readFileSync(at(whole, model, file)))).toBe(true);
    }
    const rows = (name: string) => metricRows(at(name, model, 'metrics.jsonl')).map(({ tokensPerSecond: _, ...row }) => row);
    expect(rows(killed)).toEqual(rows(whole));
  }
  const left = readdirSync(at(killed), { recursive: true }).map(String).filter((path) => /(^|\/)\.(?!mixsga-cache)/.test(path));
  expect(left).toEqual([]);
}

it.each(['run.json', 'compare.json'])('%s ends with the same bytes through many kills', async (config) => {
  const began = performance.now();
  const whole = await run(folder, ['train', config, '--out', `whole-${config}`]);
  expect(`${whole.code} ${whole.err}`).toMatch(/^0 /);
  const seconds = (performance.now() - began) / 1000;
  expectSame(`whole-${config}`, await throughKills(config, seconds));
  await rm(at('killed'), { recursive: true, force: true });
}, TOO_LONG);
