// What routers learn from, and what of that reaches the rest of the model.
import { startBackend, trackTensors } from '@mixsga/backend';
import { type EstimatorInputs, gradientEstimators, softGates } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { distance } from '../testing/decoding';
import { tinyConfig, type TinyForm, tinyTokens, tinyValues } from '../testing/tiny-models';
import { createTrainable, type Loss, type LossOptions, type TrainableModel } from './model';

const [BATCH, LENGTH, EXPERTS, LAYERS] = [2, 20, 3, 4];
/** What the second row has of padding, and what has no target. */
const PADDING = 5;

const rows = (ids: Int32Array): Tensor2D => tf.tensor2d(ids, [BATCH, LENGTH], 'int32');
function batchOf() {
  const targets = tinyTokens(BATCH * LENGTH, 2).fill(-1, BATCH * LENGTH - PADDING);
  const mask = new Int32Array(BATCH * LENGTH).fill(1).fill(0, BATCH * LENGTH - PADDING);
  return { inputs: rows(tinyTokens(BATCH * LENGTH, 1)), targets: rows(targets), mask: rows(mask) };
}

function tinyModel(router: 'sigmoid' | 'balanced', form: TinyForm = 'opt'): Promise<TrainableModel> {
  const config = tinyConfig(form, 'mixsga:3:1:6', router);
  return createTrainable(config, tinyValues(config, 5));
}

/** By name, of the parameters that it reaches. */
type Gradients = ReadonlyMap<string, Float32Array>;

function gradientsOf(model: TrainableModel, options: LossOptions, objective = ({ total }: Loss): Scalar => total): Gradients {
  const batch = batchOf();
  const trained = [...model.parameters()].filter(([, { trainable }]) => trainable);
  const { value, grads } = tf.variableGrads(() => objective(model.loss(batch, options)), trained.map(([, variable]) => variable));
  const reached = trained.filter(([, { name }]) => grads[name]);
  const gradients = new Map(reached.map(([name, { name: id }]) => [name, grads[id]!.dataSync<'float32'>().slice()]));
  tf.dispose([value, ...Object.values(grads), ...Object.values(batch)]);
  return gradients;
}

const isRouter = (name: string) => name.includes('.router.');
const joined = (gradients: Gradients, which: (name: string) => boolean) => [...gradients].flatMap(([name, values]) => (which(name) ? [...values] : []));
const isRest = (name: string) => !isRouter(name);

beforeAll(async () => void (await startBackend('wasm')));
afterEach(() => vi.restoreAllMocks());

describe('detach', () => {
  it('keeps the consistency loss from the hidden states, and not from the routers', async () => {
    const model = await tinyModel('sigmoid');
    const [both, detached] = [gradientsOf(model, { alpha: 3 }), gradientsOf(model, { alpha: 3, detach: true })];
    const likelihood = gradientsOf(model, { alpha: 3 }, ({ lm }) => lm);
    expect(joined(likelihood, isRouter).every((value) => value === 0)).toBe(true);
    expect(distance(joined(detached, isRest), joined(likelihood, isRest))).toBeLessThan(1e-6);
    expect(distance(joined(both, isRest), joined(likelihood, isRest))).toBeGreaterThan(1e-2);
    expect(joined(both, isRouter).some((value) => value !== 0)).toBe(true);
    expect(distance(joined(detached, isRouter), joined(both, isRouter))).toBeLessThan(1e-6);
    model.dispose();
  });
});

describe('an estimator', () => {
  /** What the estimator was given by each layer, and what it answered; the backward pass begins with the last layer. */
  function recorded(kind: keyof typeof gradientEstimators) {
    const original = gradientEstimators[kind];
    const seen: { along: number[][]; assignment: number[]; gradient: number[][] }[] = [];
    vi.spyOn(gradientEstimators, kind).mockImplementation((inputs: EstimatorInputs) => {
      const gradient = original(inputs);
      seen.unshift({ along: inputs.along.arraySync(), assignment: inputs.assignment.arraySync(), gradient: gradient.arraySync() });
      return gradient;
    });
    return seen;
  }

  it.each(['sigmoid', 'balanced'] as const)('teaches a %s router alone where it is detached, and the hidden states too where it is not', async (router) => {
    const model = await tinyModel(router);
    const estimator = 'importance';
    const none = gradientsOf(model, { alpha: 0 });
    const { result: detached, tensors, buffers } = await trackTensors(() => Promise.resolve(gradientsOf(model, { alpha: 0, detach: true, estimator })));
    expect({ tensors, buffers }).toEqual({ tensors: 0, buffers: 0 });
    expect(joined(none, isRouter)).toEqual([]);
    expect(distance(joined(detached, isRest), joined(none, isRest))).toBeLessThan(1e-6);
    for (let layer = 0; layer < LAYERS; layer++) {
      expect(detached.get(`model.decoder.layers.${layer}.self_attn.router.weight`)!.some((value) => Math.abs(value) > 1e-4)).toBe(true);
    }
    const attached = gradientsOf(model, { alpha: 0, estimator });
    expect(distance(joined(attached, isRest), joined(none, isRest))).toBeGreaterThan(1e-2);
    // The last layer's loss is reached by its router alone.
    const last = `model.decoder.layers.${LAYERS - 1}.self_attn.router.weight`;
    expect(distance([...attached.get(last)!], [...detached.get(last)!])).toBeLessThan(1e-5);
    // A bias that is held by feedback is not taught.
    expect([...attached.keys()].some((name) => name.endsWith('router.bias'))).toBe(router === 'sigmoid');
    model.dispose();
  });

  it('has its gradient carried to the scores of each layer as the softmax of their logits carries it', async () => {
    const model = await tinyModel('sigmoid');
    const seen = recorded('importance');
    const gradients = gradientsOf(model, { alpha: 0, detach: true, estimator: 'importance' });
    expect(seen).toHaveLength(LAYERS);
    const inputs = rows(tinyTokens(BATCH * LENGTH, 1));
    const layer = 0; // its scores depend on no routing
    const routed = model.routingOf(inputs, { routing: 'prefill' });
    const composed = tf.tidy(() => {
      const logits = tf.sub(tf.log(routed[layer]!.scores), tf.log(tf.sub(1, routed[layer]!.scores))) as Tensor3D;
      const pulled = tf.grad((x) => tf.sum(tf.mul(softGates(tf.sigmoid(x) as Tensor3D), tf.tensor2d(seen[layer]!.gradient))))(logits);
      return Array.from(tf.sum(tf.reshape(pulled, [BATCH * LENGTH, EXPERTS]), 0).dataSync());
    });
    expect(distance([...gradients.get(`model.decoder.layers.${layer}.self_attn.router.bias`)!], composed)).toBeLessThan(1e-4);
    expect(seen[layer]!.assignment.filter((expert) => expert === -1)).toHaveLength(PADDING);
    seen[layer]!.assignment.forEach((expert, token) => {
      if (expert === -1) expect(seen[layer]!.gradient[token]!.map(Math.abs)).toEqual([0, 0, 0]);
    });
    tf.dispose([inputs, ...routed.flatMap((each) => Object.values(each))]);
    model.dispose();
  });

  it('sees how the loss moves with the keys and values of each layer', async () => {
    const model = await tinyModel('sigmoid');
    const seen = recorded('importance');
    gradientsOf(model, { alpha: 0, detach: true, estimator: 'importance' });
    // Scaled keys and values of the last layer change no decision, and scale what the chosen experts make of them.
    const layer = LAYERS - 1;
    const real = seen[layer]!.assignment.flatMap((expert, token) => (expert >= 0 ? [seen[layer]!.along[token]![expert]!] : []));
    const slope = real.reduce((sum, value) => sum + value, 0);
    const scaled = ['k_proj.weight', 'k_proj.bias', 'v_proj.weight', 'v_proj.bias'].map((name) => model.parameters().get(`model.decoder.layers.${layer}.self_attn.${name}`)!);
    const lossAt = (factor: number) => {
      const before = scaled.map((variable: Variable) => tf.clone(variable));
      tf.tidy(() => scaled.forEach((variable) => variable.assign(tf.mul(variable, factor))));
      const batch = batchOf();
      const loss = tf.tidy(() => model.loss(batch, { alpha: 0 }).total.dataSync()[0]!);
      scaled.forEach((variable, i) => variable.assign(before[i]!));
      tf.dispose([...Object.values(batch), ...before]);
      return loss;
    };
    const difference = (lossAt(1.01) - lossAt(0.99)) / 0.02;
    expect(Math.abs(slope)).toBeGreaterThan(1e-2);
    expect(Math.abs(difference - slope)).toBeLessThan(0.02 * Math.abs(slope) + 1e-3);
    model.dispose();
  });

  it('is refused where there is nothing that it could teach, and left aside where nothing is routed', async () => {
    const cases = [['distortion', 'mixsga:3:1:6', 'a distortion router, which has nothing to train'], ['balanced', 'latent:3:1:6@4,8,16', 'the experts of latent:3:1:6@4,8,16']] as const;
    for (const [router, attention, got] of cases) {
      const config = tinyConfig('opt', attention, router);
      const model = await createTrainable(config, tinyValues(config, 5));
      expect(() => model.checkEstimator()).toThrow(`estimator: expected routers that learn, over experts that group heads, got ${got}; leave it out`);
      expect(() => gradientsOf(model, { alpha: 0, estimator: 'importance' })).toThrow('estimator: expected routers that learn');
      model.dispose();
    }
    const config = tinyConfig('opt', 'gqa:2');
    const model = await createTrainable(config, tinyValues(config, 5));
    model.checkEstimator();
    expect(gradientsOf(model, { alpha: 0, estimator: 'importance' })).toEqual(gradientsOf(model, { alpha: 0 }));
    model.dispose();
  });
});

describe('balance', () => {
  /** The biases of all layers after balancing over some batches. */
  async function biasesAfter(batches: readonly { ids: Int32Array; mask?: Int32Array; length: number }[]): Promise<number[]> {
    const model = await tinyModel('balanced');
    const scored = batches.map(({ ids, mask, length }) => {
      const [inputs, real] = [ids, mask].map((values) => values && tf.tensor2d(values, [values.length / length, length], 'int32')) as [Tensor2D, Tensor2D?];
      const scores = model.balanceScores({ inputs, ...(real && { mask: real }) });
      tf.dispose([inputs, ...(real ? [real] : [])]);
      return { scores, ...(mask && { mask }) };
    });
    await model.balance(scored, 0.5);
    tf.dispose(scored.flatMap(({ scores }) => scores));
    const biases = [...model.parameters()].flatMap(([name, variable]) => (name.endsWith('router.bias') ? [...variable.dataSync()] : []));
    model.dispose();
    return biases;
  }

  it('takes the tokens of several batches as one, and leaves out padding', async () => {
    const ids = tinyTokens(60, 3);
    const together = await biasesAfter([{ ids, length: 20 }]);
    expect(together).toHaveLength(LAYERS * EXPERTS);
    expect(distance(await biasesAfter([{ ids: ids.slice(0, 20), length: 20 }, { ids: ids.slice(20), length: 20 }]), together)).toBeLessThan(1e-5);

    const alone = [{ ids: ids.slice(0, 20), length: 20 }, { ids: ids.slice(20, 33), length: 13 }];
    const mask = new Int32Array(40).fill(1).fill(0, 33);
    const padded = ids.slice(0, 40).fill(7, 33); // any token
    expect(distance(await biasesAfter([{ ids: padded, mask, length: 20 }]), await biasesAfter(alone))).toBeLessThan(1e-5);
    expect(distance(await biasesAfter([{ ids: padded, length: 20 }]), await biasesAfter(alone))).toBeGreaterThan(1e-3);
  });
});
