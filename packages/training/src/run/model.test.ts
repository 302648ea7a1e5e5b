import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startBackend } from '@mixsga/backend';
import { createTokenizer, fromPretrained, generateText, loadModel, parseModelConfig } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { trainBpe } from '../data/bpe';
import { type RunConfig, runConfig } from '../config/run-config';
import { initialConfig } from './initial-model';
import { modelFacts } from './likelihood-model';
import { type OpenModel, openModel, saveModel } from './model';
import { Trainer } from '../optimisation/trainer';

const TEXT = 'the state of the union is as strong as the people of the union are many, and they are many. '.repeat(40);
const families = ['opt', 'llama', 'gemma2'] as const;

let folder: string;
beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-model-'))));
afterEach(() => rm(folder, { recursive: true }));

function configOf(model: object): RunConfig {
  return runConfig.parse({
    model, data: { corpus: 'sotu', vocabularySize: 300 }, sequenceLength: 16, batchSize: 2, tokens: 64, optimizer: { learningRate: 1e-3 },
  });
}

const initOf = (family: string) => ({
  family, layers: 2, hiddenSize: 32, heads: 8, ffnSize: 48, contextLength: 32, ...(family === 'opt' ? {} : { kvHeads: 4 }),
});

const open = (model: object): Promise<OpenModel> =>
  openModel(configOf(model), () => Promise.resolve([TEXT]), folder, { message: () => undefined });

/** Losses of some steps on the text. */
async function train({ model, tokenizer }: OpenModel, steps: number): Promise<number[]> {
  const trainer = new Trainer(model, {
    schedule: { learningRate: 3e-3, minLearningRateRatio: 1, warmupSteps: 1, totalSteps: steps },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0 },
    clip: 1,
    routerLoss: { alpha: 1 },
    sequenceLength: 16,
  });
  const ids = tokenizer.encode(TEXT);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const window = Int32Array.from(ids.slice(7 * step, 7 * step + 33));
    losses.push((await trainer.takeStep([{ inputs: window.slice(0, 32), targets: window.slice(1, 33) }])).lm);
  }
  trainer.dispose();
  return losses;
}

describe.each(families)('a model of %s', (family) => {
  it('starts anew, learns, is saved, converted, continued, and generates', async () => {
    const before = tf.memory().numTensors;
    const anew = await open({ init: initOf(family) });
    expect(modelFacts(anew.model)).toMatchObject({ layers: 2, heads: 8, hidden: 32 });
    const losses = await train(anew, 12);
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.3);
    await saveModel(folder, anew);
    anew.model.dispose();
    await writeFile(join(folder, 'generation_config.json'), '{"eos_token_id": 2}');

    const continued = await open({ from: folder, attention: 'mixsga:3:1:6', router: { seed: 4 } });
    expect(continued.model.config.mixsga).toEqual({ attention: 'mixsga:3:1:6', router: 'sigmoid', routerSeed: 4 });
    expect((await train(continued, 2))[0]).toBeLessThan(losses[0]!);
    const trained = join(folder, 'trained');
    await saveModel(trained, continued);
    expect((await readdir(trained)).sort()).toEqual([
      'config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json',
    ]);
    const again = await loadModel(trained);
    for (const [name, variable] of continued.model.parameters()) {
      expect(again.parameters().get(name)!.dataSync(), name).toEqual(variable.dataSync());
    }
    continued.model.dispose();
    again.dispose();

    const { decoder, tokenizer, stopTokens } = await fromPretrained(trained);
    expect(stopTokens).toEqual([2]);
    const { stats } = await generateText(decoder, tokenizer, 'the state', { maxNewTokens: 4 });
    expect(stats.expertCounts!.reduce((a, b) => a + b)).toBe(2 * stats.tokensKept);
    decoder.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('has the configuration that it asks for', () => {
    const config = parseModelConfig(initialConfig(configOf({ init: initOf(family) }).model.init!, 300), 'test');
    expect(config).toMatchObject({ model_type: family, num_attention_heads: 8, vocab_size: 300, tie_word_embeddings: true });
    expect('num_key_value_heads' in config ? config.num_key_value_heads : null).toBe(family === 'opt' ? null : 4);
  });
});

it('takes a tokenizer that is there instead of a new one', async () => {
  const path = join(folder, 'given.json');
  const given = createTokenizer(trainBpe([TEXT], 280), path);
  await writeFile(path, given.save());
  const config = configOf({ init: initOf('llama') });
  const opened = await openModel({ ...config, data: { ...config.data, tokenizer: path } }, () => Promise.reject(new Error('unused')), folder, {
    message: () => undefined,
  });
  expect(opened.model.shape.vocabularySize).toBe(280);
  await saveModel(folder, opened);
  opened.model.dispose();
  expect(JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8'))).toEqual(JSON.parse(given.save()));
});

it.each([
  [{ ...initOf('opt'), kvHeads: 4 }, 'expected no kvHeads of opt other than its 8 heads, got 4; take llama for fewer'],
  [{ ...initOf('llama'), kvHeads: 3 }, 'expected kvHeads that divide heads'],
  [{ ...initOf('llama'), family: 'bert' }, 'opt'],
])('refuses %j', (init, message) => {
  expect(() => configOf({ init })).toThrow(message);
});
