import { ArgumentError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { balancingShift } from './balance';
import { balancedRouter, consistencyLoss, createRouter, distortionRouter, randomRouter, registerRouter, routerNames, routerParameters, routers, routingStatistics, sigmoidRouter } from './index';
import type { Router, RouterOptions } from './router';

const OPTIONS = { hiddenSize: 2, ratios: [0.5, 0.5], seed: 1, layer: 0 };
const ids = (...rows: number[][]): Tensor2D => tf.tensor2d(rows, [rows.length, rows[0]!.length], 'int32');

beforeAll(() => startBackend('cpu'));

describe('ratios', () => {
  it('may miss a sum of 1 by less than a millionth', () => {
    for (const [off, accepted] of [[9e-7, true], [-9e-7, true], [1.1e-6, false], [-1.1e-6, false]] as const) {
      const create = () => createRouter('sigmoid', { ...OPTIONS, ratios: [0.5, 0.5 + off] }).dispose();
      if (accepted) expect(create).not.toThrow();
      else expect(create).toThrow('createRouter: expected ratios of 0 or more with sum 1');
    }
  });

  it('and hidden sizes start at 0 and 1', () => {
    for (const ratios of [[1], [1, 0], [0, 1]]) createRouter('balanced', { ...OPTIONS, hiddenSize: 1, ratios }).dispose();
    for (const hiddenSize of [-1, 1.5, NaN]) {
      expect(() => createRouter('sigmoid', { ...OPTIONS, hiddenSize })).toThrow(new ArgumentError(`createRouter: expected hiddenSize to be a whole number from 1, got ${hiddenSize}`));
    }
  });
});

describe('a rate of balancing', () => {
  it.each([balancedRouter, distortionRouter])('is above 0 and at most 1: %s', async (create) => {
    const router = create(OPTIONS);
    const seen = new Float32Array(6).fill(0.5);
    for (const rate of [1e-9, 1]) await router.balance!(seen, rate);
    for (const rate of [0, -1, 1.0001, NaN]) await expect(router.balance!(seen, rate)).rejects.toEqual(new ArgumentError(`balance: expected a rate above 0, up to 1, got ${rate}`));
    router.dispose();
  });

  it('is how far a bias goes of the way', async () => {
    const scores = Float32Array.of(0.7, 0.2, 0.9, 0.4, 0.6, 0.3);
    const biases = async (...rates: number[]) => {
      const router = balancedRouter(OPTIONS);
      for (const rate of rates) await router.balance!(scores, rate);
      const bias = Array.from(await router.buffers['bias']!.data());
      router.dispose();
      return bias;
    };
    const [whole, quarter, twice] = [await biases(1), await biases(0.25), await biases(0.25, 0.25)];
    expect(Math.abs(whole[0]! - whole[1]!)).toBeGreaterThan(0.5);
    whole.forEach((value, e) => {
      expect(quarter[e]).toBeCloseTo(value / 4, 5);
      expect(twice[e]).toBeCloseTo(value / 2, 5);
    });
  });
});

describe('balancingShift', () => {
  it('is midway between the tokens on either side of a share, worked out by hand', () => {
    // Distances of the second expert to the first: 1, 2, 4, 8. One of four tokens for it: midway between 1 and 2.
    const shift = balancingShift(Float32Array.of(0, -1, 0, -2, 0, -4, 0, -8), [0.75, 0.25]);
    expect(shift[1]! - shift[0]!).toBeCloseTo(1.5, 6);
    expect(Math.max(shift[0]!, shift[1]! - 1)).toBeCloseTo(0, 6); // the highest logit
    const half = balancingShift(Float32Array.of(0, -1, 0, -2, 0, -4, 0, -8), [0.5, 0.5]);
    expect(half[1]! - half[0]!).toBeCloseTo(3, 6);
    // Of a single token there is nothing to share.
    const one = balancingShift(Float32Array.of(5, 3), [0.5, 0.5]);
    expect(one[1]! - one[0]!).toBeCloseTo(2, 6);
  });

  it('moves a single expert, and one without a share, nowhere', () => {
    expect(balancingShift(Float32Array.of(3, -1), [1])).toEqual([-3]);
    expect(balancingShift(Float32Array.of(3, 9, 1, 9), [1, 0])).toEqual([-3, 0]);
  });
});

describe('a loss', () => {
  it('is 0 of a single expert, with a gradient of 0', () => {
    const { value, grad } = tf.valueAndGrad((s: tf.Tensor) => consistencyLoss(s as Tensor3D, ids([0, 0])))(tf.tensor3d([[[0.3], [0.9]]]));
    expect(value.dataSync()[0]).toBe(0);
    expect([...grad.dataSync()]).toEqual([0, 0]);
  });

  it('refuses an assignment or a mask of another shape', () => {
    const scores = tf.zeros<tf.Rank.R3>([1, 2, 3]);
    expect(() => consistencyLoss(scores, ids([0, 1, 2]))).toThrow(new ArgumentError('consistencyLoss: expected assignment of shape [1, 2], got [1, 3]'));
    expect(() => consistencyLoss(scores, ids([0, 1]), ids([1], [1]))).toThrow(new ArgumentError('consistencyLoss: expected mask of shape [1, 2], got [2, 1]'));
  });

  it('is the mean over tokens that neither assignment nor mask leaves out', () => {
    const scores = tf.tensor3d([[[1, 0], [0, 0], [5, 0], [0, 3]]]);
    const loss = consistencyLoss(scores, ids([0, 1, -1, 0]), ids([1, 1, 1, 0])).dataSync()[0];
    expect(loss).toBeCloseTo((Math.log(1 + Math.exp(-1)) + Math.log(2)) / 2, 6);
  });
});

describe('routingStatistics', () => {
  it('refuses a mask of another shape', async () => {
    await expect(routingStatistics(ids([0, 1]), ids([0, 1]), 2, ids([1]))).rejects.toThrow('expected mask of the shape of prefill, [1, 2], got [1, 1]');
  });

  it('counts the first and the last expert', async () => {
    expect(await routingStatistics(ids([0, 1, 1]), ids([0, 1, 0]), 2)).toEqual({ agreement: 2 / 3, ratios: { prefill: [1 / 3, 2 / 3], decode: [2 / 3, 1 / 3] } });
    await expect(routingStatistics(ids([0, -1]), ids([0, 5]), 2, ids([0, 1]))).rejects.toThrow('expected at least one real token, got none');
  });
});

describe('a registered router', () => {
  it('may be registered again, and tells what it stores', () => {
    const own = Object.assign((options: Parameters<typeof sigmoidRouter>[0]) => sigmoidRouter(options), { parameters: () => ({ mine: [7] }) });
    registerRouter('mine-2', own);
    registerRouter('mine-2', own);
    expect(routerNames()).toEqual([...Object.keys(routers), 'mine-2']);
    expect(routerParameters('mine-2', { hiddenSize: 3, experts: 2 })).toEqual({ mine: [7] });
    expect(routerParameters('balanced', { hiddenSize: 3, experts: 2 })).toEqual({ weight: [2, 3], bias: [2] });
    for (const name of ['2mine', 'Mine', 'a b', '-a']) expect(() => registerRouter(name, own)).toThrow(`registerRouter: expected a name of letters, digits and hyphens, got ${JSON.stringify(name)}`);
  });
});

describe('a router that stores other variables than its factory declares', () => {
  it.each<[string, Record<string, number[]> | undefined]>([
    ['store bias [2], weight [2, 3], as its factory declares, got slope [2]; declare them by `parameters` of the factory', undefined],
    ['store slope [3], as its factory declares, got slope [2]; make `parameters` of the factory and the router agree', { slope: [3] }],
    ['store nothing, as its factory declares, got slope [2]; make `parameters` of the factory and the router agree', {}],
  ])('is refused: %s', (message, declared) => {
    const options = { hiddenSize: 3, ratios: [0.5, 0.5], seed: 0, layer: 0 };
    const before = tf.memory().numTensors;
    const create = (own: RouterOptions): Router => {
      const router = sigmoidRouter(own);
      const slope = tf.tidy(() => tf.variable(tf.zeros([2])));
      return { ...router, trainable: { slope }, dispose: () => { router.dispose(); slope.dispose(); } };
    };
    const factory = declared ? Object.assign(create, { parameters: () => declared }) : create;
    expect(() => createRouter(factory, options)).toThrow(new ArgumentError(`createRouter: expected the router to ${message}`));
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is refused when it is no router', () => {
    registerRouter('own-empty', () => ({}) as Router);
    const options = { hiddenSize: 3, ratios: [0.5, 0.5], seed: 0, layer: 0 };
    expect(() => createRouter('own-empty', options)).toThrow(new ArgumentError('createRouter: own-empty: expected experts to be a number, got nothing'));
    expect(() => createRouter(() => null as unknown as Router, options)).toThrow(new ArgumentError('createRouter: expected a router from its factory, got null'));
    expect(() => registerRouter('own-three', 3 as never)).toThrow(new ArgumentError('registerRouter: own-three: expected a function, got 3'));
    expect(() => createRouter('own-three', options)).toThrow(/got 'own-three'; a plugin may register it \(--plugin, registerRouter\)$/);
  });
});

describe('weights of a router', () => {
  it.each([sigmoidRouter, balancedRouter])('are taken as they are, and scored by: %s', async (create) => {
    const weights = { weight: Float32Array.of(1, 0, 0, -2), bias: Float32Array.of(0.5, 1) };
    const router = create({ ...OPTIONS, weights });
    const scores = await tf.tidy(() => router.score(tf.tensor3d([[[2, 3], [-1, 0.5]]]))).data();
    [2.5, -5, -0.5, 0].forEach((logit, i) => expect(scores[i]).toBeCloseTo(1 / (1 + Math.exp(-logit)), 5));
    expect(router.linear).toEqual({ weight: router.trainable['weight'], bias: router.trainable['bias'] ?? router.buffers['bias'] });
    router.dispose();
    expect(() => create({ ...OPTIONS, weights: { ...weights, bias: Float32Array.of(1) } })).toThrow('createRouter: expected bias of 2 values, got 1; check the ratios and hiddenSize');
  });

  it('start ten times smaller where they are balanced, and seeded', async () => {
    const deviation = async (create: typeof sigmoidRouter) => {
      const router = create({ ...OPTIONS, hiddenSize: 2000 });
      const values = await router.trainable['weight']!.data<'float32'>();
      router.dispose();
      return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    };
    expect(await deviation(sigmoidRouter)).toBeCloseTo(Math.sqrt(2 / 2000), 3);
    expect((await deviation(sigmoidRouter)) / (await deviation(balancedRouter))).toBeCloseTo(10, 3);
  });
});

describe('a balanced distortion router', () => {
  /** Of each token ‖k‖², the errors of the keys under three experts, and the same of the values: keys far larger. */
  const seen = Float32Array.from({ length: 8 * 300 }, (_, i) => {
    const [token, column] = [Math.floor(i / 8), i % 8];
    const noise = ((token * 7919 + column * 104_729) % 1009) / 1009;
    return (column < 4 ? 100 : 0.01) * (column % 4 === 0 ? 1 + noise : noise * [0, 0.1, 0.4, 0.9][column % 4]!);
  });

  it('shares tokens at the ratios by both energies, the highest score being 0', async () => {
    const router = distortionRouter({ ...OPTIONS, ratios: [0.3, 0.1, 0.6] });
    await router.balance!(seen, 1);
    const means = [0, 4].map((column) => seen.filter((_, i) => i % 8 === column).reduce((a, b) => a + b) / 300);
    const energy = await router.buffers['energy']!.data();
    means.forEach((mean, kind) => expect(energy[kind]! / mean).toBeCloseTo(1, 4));
    const scores = tf.tidy(() => router.score(tf.tensor3d(seen, [1, 300, 8])));
    expect(Math.max(...(await scores.data()))).toBeCloseTo(0, 4);
    const counts = [0, 0, 0];
    for (const expert of await router.decode(scores).data()) counts[expert]!++;
    counts.forEach((count, expert) => expect(Math.abs(count - [90, 30, 180][expert]!)).toBeLessThanOrEqual(2));
    router.dispose();
  });
});

describe('random routers', () => {
  it('draw the same on every machine', async () => {
    const router = randomRouter({ ...OPTIONS, hiddenSize: 3, ratios: [0.3, 0.1, 0.6] });
    const x = tf.tensor3d([Array.from({ length: 16 }, (_, t) => [t / 4, 1 - t / 8, (t % 3) / 2])]);
    expect(Array.from(await tf.tidy(() => router.decode(router.score(x))).data()).join('')).toBe('2120222202022020');
    router.dispose();
  });


  it('give nothing to later experts of ratio 0, and scores from 0 to below 1', async () => {
    const router = randomRouter({ ...OPTIONS, ratios: [0.25, 0.75, 0, 0] });
    const x = tf.randomNormal<tf.Rank.R3>([1, 400, 2], 0, 1, 'float32', 5);
    const scores = tf.tidy(() => router.score(x));
    const values = await scores.data();
    expect(values.length).toBe(1600);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    // Uniform: a share of those below each tenth.
    for (let tenth = 1; tenth < 10; tenth++) expect(Math.abs(values.filter((value) => value < tenth / 10).length / 1600 - tenth / 10)).toBeLessThan(0.05);
    const decoded = Array.from(await tf.tidy(() => router.decode(scores)).data());
    expect(Math.max(...decoded)).toBe(1);
    router.dispose();
  });
});
