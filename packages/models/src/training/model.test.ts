import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adamwStep, ArgumentError, SeededRandom, startBackend, trackTensors, useReferenceKernels } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadModel, saveModel } from '../checkpoints/checkpoint';
import { convertConfig, convertModel } from '../checkpoints/convert';
import type { ModelConfig } from '../config/shape';
import { createDecoder } from '../decoder/create-decoder';
import { fromPretrained } from '../checkpoints/from-pretrained';
import { generateText } from '../generation/generate';
import { distance } from '../testing/decoding';
import { tinyConfig, type TinyForm, tinyForms, tinyTokens, tinyValues } from '../testing/tiny-models';
import { resolveModel } from '../zoo';
import { createTrainable, type Loss, type TrainableModel, type TrainingBatch } from './model';
import { randomParameters } from './random-parameters';

const VOCABULARY = 50;
const BATCH = 2;
const LENGTH = 20;
const forms = Object.keys(tinyForms) as TinyForm[];
const routed = (form: TinyForm) => (form === 'llama with 3 KV heads' ? 'mixsga:1:2@1,3' : 'mixsga:3:1:6');
const grouped = (form: TinyForm) => (form === 'llama with 3 KV heads' ? 'gqa:3' : 'gqa:2');
const everyVariant = forms.flatMap((form) => ['mha', grouped(form), 'cla:2', routed(form)].map((attention) => [form, attention] as const));

const rows = (ids: ArrayLike<number>, batch = BATCH): Tensor2D => tf.tensor2d(Int32Array.from(ids), [batch, ids.length / batch], 'int32');
const tokens = tinyTokens(BATCH * LENGTH, 1);
const targets = tinyTokens(BATCH * LENGTH, 2);

function tinyModel(form: TinyForm, attention: string): Promise<TrainableModel> {
  const config = tinyConfig(form);
  const converted = convertModel(config, tinyValues(config, 5), attention, { routerSeed: 9 });
  return createTrainable(converted.config, converted.values);
}

interface Gradients {
  readonly total: number;
  readonly byName: ReadonlyMap<string, Float32Array>;
}

/** The gradients of what `objective` makes of the loss; alpha 0.5. */
function gradientsOf(model: TrainableModel, batch: TrainingBatch, objective = ({ total }: Loss) => total): Gradients {
  const parameters = [...model.parameters()];
  const { value, grads } = tf.variableGrads(() => objective(model.loss(batch, { alpha: 0.5 })), parameters.map(([, variable]) => variable));
  const byName = new Map(parameters.map(([name, { name: id }]) => [name, grads[id]!.dataSync<'float32'>().slice()]));
  const total = value.dataSync()[0]!;
  tf.dispose([value, ...Object.values(grads)]);
  return { total, byName };
}

/** ‖a − b‖ / ‖b‖ over all parameters. */
function gradientDistance(a: Gradients, b: Gradients): number {
  const joined = ({ byName }: Gradients) => [...byName.values()].flatMap((values) => [...values]);
  return distance(joined(a), joined(b));
}

async function logitsOf(model: TrainableModel, ids: ArrayLike<number>, routing: 'prefill' | 'decode', batch = BATCH): Promise<Float32Array> {
  const logits = tf.tidy(() => model.logits(rows(ids, batch), { routing }));
  const values = await logits.data<'float32'>();
  logits.dispose();
  return values;
}

afterEach(() => useReferenceKernels(false));

describe.each(['cpu', 'wasm'] as const)('on %s', (backend) => {
  beforeAll(async () => void (await startBackend(backend)));

  it.each(forms)('%s has the gradients of finite differences, of every parameter', async (form) => {
    const model = await tinyModel(form, grouped(form));
    const batch = { inputs: rows(tokens), targets: rows(targets) };
    const { byName } = gradientsOf(model, batch);
    const lossAt = () => tf.tidy(() => model.loss(batch, { alpha: 0 }).total.dataSync()[0]!);
    // One direction moves every parameter: along its gradient, which any error in its size shows, and at random.
    const checked = backend === 'wasm' ? [...model.parameters()].map((one) => [one]) : [[...model.parameters()]];
    for (const [stream, parameters] of checked.entries()) {
      const random = new SeededRandom(4, stream);
      const size = Math.sqrt(parameters.reduce((sum, [name]) => sum + byName.get(name)!.reduce((all, g) => all + g * g, 0), 0));
      const count = parameters.reduce((sum, [, { size: own }]) => sum + own, 0);
      const directions = parameters.map(([name]) => byName.get(name)!.map((g) => g / size + random.normal() / Math.sqrt(count)));
      const slope = parameters.reduce((sum, [name], i) => sum + directions[i]!.reduce((all, d, j) => all + d * byName.get(name)![j]!, 0), 0);
      const step = 5e-4; // small, for the kinks of ReLU
      const moved = [step, -step].map((h) => {
        const before = parameters.map(([, variable]) => tf.clone(variable));
        parameters.forEach(([, variable], i) => tf.tidy(() => variable.assign(tf.add(variable, tf.mul(tf.tensor(directions[i]!, variable.shape), h)))));
        const loss = lossAt();
        parameters.forEach(([, variable], i) => variable.assign(before[i]!));
        return loss;
      });
      const difference = (moved[0]! - moved[1]!) / (2 * step);
      expect(Math.abs(difference - slope), parameters.map(([name]) => name).join()).toBeLessThan(0.03 * size + 2e-3);
    }
    tf.dispose(Object.values(batch));
    model.dispose();
  });

  it.each(forms)('%s makes of a padded batch what it makes of the rows alone', async (form) => {
    const model = await tinyModel(form, routed(form));
    const [lengths, counted] = [[20, 13, 5], [20, 6, 2]]; // of 13 tokens 6 count, the others being a prompt
    const padded = [tinyTokens(60, 3), tinyTokens(60, 4), new Int32Array(60)] as const; // padding holds any token
    const alone = lengths.map((length, row) => {
      const [x, y, real] = padded.map((ids) => ids.subarray(20 * row, 20 * row + length)) as [Int32Array, Int32Array, Int32Array];
      y.fill(-100, 0, length - counted[row]!);
      real.fill(1);
      padded[1].fill(-1, 20 * row + length, 20 * row + 20);
      const [n, r] = [counted[row]! / 28, length / 38];
      const one = { inputs: rows(x, 1), targets: rows(y, 1) };
      const gradients = gradientsOf(model, one, ({ lm, consistency }) => tf.add<tf.Scalar>(tf.mul(lm, n), tf.mul(consistency, 0.5 * r)));
      tf.dispose(Object.values(one));
      return gradients;
    });
    const sum: Gradients = {
      total: alone.reduce((all, { total }) => all + total, 0),
      byName: new Map([...alone[0]!.byName].map(([name, first]) => [name, first.map((_, i) => alone.reduce((all, { byName }) => all + byName.get(name)![i]!, 0))])),
    };
    const [inputs, wanted, mask] = padded.map((ids) => rows(ids, 3)) as [Tensor2D, Tensor2D, Tensor2D];
    const together = gradientsOf(model, { inputs, targets: wanted, mask });
    expect(Math.abs(together.total - sum.total)).toBeLessThan(1e-5);
    expect(gradientDistance(together, sum)).toBeLessThan(1e-4);
    tf.dispose([inputs, wanted, mask]);
    model.dispose();
  });
});

describe('on wasm', () => {
  beforeAll(async () => void (await startBackend('wasm')));

  it.each(everyVariant)('%s with %s has the loss and the gradients of the reference composition', async (form, attention) => {
    const model = await tinyModel(form, attention);
    const batch = { inputs: rows(tokens), targets: rows(targets) };
    const fast = gradientsOf(model, batch);
    useReferenceKernels(true);
    const reference = gradientsOf(model, batch);
    expect(fast.total).toBeCloseTo(reference.total, 5);
    expect(gradientDistance(fast, reference)).toBeLessThan(1e-4);
    tf.dispose(Object.values(batch));
    model.dispose();
  });

  it.each(everyVariant)('%s with %s has the logits of its decoder, and sees no later token under decode routing', async (form, attention) => {
    const model = await tinyModel(form, attention);
    const [first, second] = [tokens.subarray(0, LENGTH), tokens.slice(0, LENGTH).map((id, t) => (t >= 12 ? (id + 11) % VOCABULARY : id))];
    const decoder = await createDecoder(model.config, model.source());
    for (const [routing, prompt] of [['prefill', LENGTH], ['decode', 0]] as const) {
      const cache = decoder.createCache();
      const { logits: values } = await decoder.prefill(first, cache, { promptTokens: prompt, want: 'logits' });
      expect(distance((await logitsOf(model, first, routing, 1)).slice(-VOCABULARY), values!)).toBeLessThan(1e-4);
      cache.dispose();
    }
    decoder.dispose();
    const [a, b] = [await logitsOf(model, first, 'decode', 1), await logitsOf(model, second, 'decode', 1)];
    expect(distance(a.slice(0, 12 * VOCABULARY), b.slice(0, 12 * VOCABULARY))).toBeLessThan(1e-6);
    expect(distance(a, b)).toBeGreaterThan(1e-2);
    model.dispose();
  });

  it.each(everyVariant)('%s with %s learns a batch in steps of AdamW, and gives back every tensor', async (form, attention) => {
    const left = await trackTensors(async () => {
      const model = await tinyModel(form, attention);
      const batch = { inputs: rows(tokens), targets: rows(targets) };
      const moments = [...model.parameters().values()].map(({ shape }) => [0, 1].map(() => tf.tidy(() => tf.variable(tf.zeros(shape)))));
      const losses: number[] = [];
      for (let step = 1; step <= 5; step++) {
        const variables = [...model.parameters().values()];
        const { value, grads } = tf.variableGrads(() => model.loss(batch, { alpha: 1 }).total, variables);
        losses.push(value.dataSync()[0]!);
        variables.forEach((variable, i) =>
          adamwStep(variable, grads[variable.name]!, moments[i]![0]!, moments[i]![1]!, {
            learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, step, gradientScale: 1,
          }),
        );
        tf.dispose([value, ...Object.values(grads)]);
      }
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.1);
      tf.tidy(() => {
        model.tokenNll(batch.inputs, batch.targets, { routing: 'decode' });
        model.routingOf(batch.inputs, { routing: 'prefill' });
      });
      tf.dispose([...Object.values(batch), ...moments.flat()]);
      model.dispose();
    });
    expect(left).toMatchObject({ tensors: 0, buffers: 0 });
  });

  it.each(forms)('%s tells likelihoods that agree with its logits', async (form) => {
    const model = await tinyModel(form, routed(form));
    const nll = tf.tidy(() => model.tokenNll(rows(tokens), rows(targets), { routing: 'decode' }).dataSync());
    const logProbabilities = tf.tidy(() => tf.logSoftmax(model.logits(rows(tokens), { routing: 'decode' })).dataSync());
    nll.forEach((value, i) => expect(value).toBeCloseTo(-logProbabilities[i * VOCABULARY + targets[i]!]!, 4));
    model.dispose();
  });
});

describe('createTrainable', () => {
  beforeAll(async () => void (await startBackend('wasm')));
  const config = tinyConfig('llama');

  it('leaves nothing on the backend when a parameter is missing or of another size', async () => {
    const name = 'model.layers.3.mlp.down_proj.weight';
    const values = tinyValues(config, 5);
    const left = await trackTensors(async () => {
      values.set(name, new Float32Array(5));
      await expect(createTrainable(config, values)).rejects.toThrow(`${name}: expected shape [32, 48], got 5 values`);
      values.delete(name);
      await expect(createTrainable(config, values)).rejects.toThrow(`expected a parameter ${name}, and there is none`);
    });
    expect(left).toMatchObject({ tensors: 0, buffers: 0 });
  });

  it('refuses a variant that does not fit the heads, and a sequence longer than the positions', async () => {
    const odd = { ...config, mixsga: { attention: 'gqa:3' } } as ModelConfig;
    await expect(createTrainable(odd, tinyValues(config, 5))).rejects.toThrow(ArgumentError);
    const model = await createTrainable(config, tinyValues(config, 5));
    await expect(logitsOf(model, new Int32Array(81), 'decode', 1)).rejects.toThrow(/at most 80 tokens a sequence, got 81/);
    model.dispose();
  });
});

describe('randomParameters', () => {
  it.each(forms)('starts %s near the loss of a model that knows nothing', async (form) => {
    await startBackend('wasm');
    const config = tinyConfig(form);
    const values = randomParameters(config, 3);
    expect(randomParameters(config, 3)).toEqual(values);
    const gains = [...values].filter(([name]) => /norm\w*\.weight$/.test(name)).flatMap(([, gain]) => [...gain]);
    expect(new Set(gains)).toEqual(new Set([form.startsWith('gemma') ? 0 : 1]));
    const model = await createTrainable(config, values);
    const lm = tf.tidy(() => model.loss({ inputs: rows(tokens), targets: rows(targets) }, { alpha: 0 }).lm.dataSync()[0]!);
    expect(Math.abs(lm - Math.log(VOCABULARY))).toBeLessThan(0.1);
    model.dispose();
  });
});

describe('a trained model', () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-train-'))));
  afterEach(() => rm(folder, { recursive: true }));

  it.each(everyVariant)('%s with %s comes back from its folder as the same model', async (form, attention) => {
    await startBackend('wasm');
    const model = await tinyModel(form, attention);
    await saveModel(model, folder);
    const loaded = await loadModel(folder);
    expect(await logitsOf(loaded, tokens, 'prefill')).toEqual(await logitsOf(model, tokens, 'prefill'));
    model.dispose();
    loaded.dispose();
  });

  it.each(['opt', 'llama', 'gemma2'] as const)('%s is converted, saved with its tokenizer, and generates', async (form) => {
    await startBackend('wasm');
    const { directory } = await resolveModel('sotu-mini');
    const { tokenizer, decoder } = await fromPretrained(directory);
    decoder.dispose();
    const config = { ...tinyConfig(form), vocab_size: tokenizer.vocabularySize };
    const published = await createTrainable(config, randomParameters(config, 1));
    await saveModel(published, folder, { dtype: 'BF16' });
    published.dispose();
    const converted = await loadModel(folder, { attention: 'mixsga:3:1:6', routerSeed: 2 });
    expect(converted.config).toEqual(convertConfig(config, 'mixsga:3:1:6', { routerSeed: 2 }));
    await saveModel(converted, folder, { files: new Map([['tokenizer.json', tokenizer.save()]]) });
    converted.dispose();
    const opened = await fromPretrained(folder);
    const { stats } = await generateText(opened.decoder, opened.tokenizer, 'The state of the Union', { maxNewTokens: 5 });
    expect(stats.expertCounts).toHaveLength(3);
    opened.decoder.dispose();
  });
});
