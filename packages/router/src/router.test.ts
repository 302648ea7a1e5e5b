import { ArgumentError, expertChoice, SeededRandom, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { balancingShift } from './balance';
import { argMaxExpert, balancedRouter, consistencyLoss, createRouter, distortionRouter, registerRouter, routerParameters, routers, routingStatistics, sigmoidRouter, softGates } from './index';
import type { Router, RouterFactory, RouterKind } from './index';
import { plainExpertChoice, routerChecks } from './testing';

const OPTIONS = { hiddenSize: 16, ratios: [0.3, 0.1, 0.6], seed: 3, layer: 0 };
/** Kinds that start from random numbers. */
const DRAWN = ['sigmoid', 'random', 'balanced'];

/** Ratios of sum 1, zeros among them, and scores from a small set of values so that ties are common. */
const batches = fc
  .record({
    weights: fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }).filter((weights) => weights.some((weight) => weight > 0)),
    tokens: fc.array(fc.record({ levels: fc.array(fc.nat(5), { minLength: 4, maxLength: 4 }), real: fc.boolean() }), {
      minLength: 1,
      maxLength: 40,
    }),
  })
  .map(({ weights, tokens }) => {
    const sum = weights.reduce((a, b) => a + b);
    return {
      ratios: weights.map((weight) => weight / sum),
      scores: tokens.map(({ levels }) => levels.slice(0, weights.length).map((level) => level / 8)),
      real: tokens.map((token) => token.real),
    };
  });

describe.each(['cpu', 'wasm'] as const)('on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  describe.each(Object.keys(routers) as RouterKind[])('router %s', (kind) => {
    it.each(routerChecks)('$name', ({ run }) => run(routers[kind]));
  });

  it.each<{ fault: string; caught: string; break: (router: Router) => Partial<Router> }>([
    { fault: 'assigns by arg max', caught: 'progressive', break: (r) => ({ assign: (scores) => r.decode(scores) }) },
    { fault: 'ignores the mask', caught: 'progressive', break: (r) => ({ assign: (scores) => r.assign(scores) }) },
    { fault: 'decodes by looking at other tokens', caught: 'alone', break: (r) => ({ decode: (scores) => r.assign(scores) }) },
    { fault: 'has a loss without gradient', caught: 'gradient', break: () => ({ loss: () => tf.scalar(1) }) },
    { fault: 'keeps a tensor', caught: 'behind', break: (r) => ({ score: (x) => tf.keep(tf.clone(r.score(x))) }) },
    { fault: 'trains what it balances', caught: 'optimizer', break: (r) => ({ buffers: r.trainable }) },
    { fault: 'balances to no avail', caught: 'ratios', break: () => ({ balance: () => Promise.resolve() }) },
    { fault: 'trains a variable that it does not store', caught: 'stores', break: ({ trainable: { weight } }) => ({ trainable: { weight: weight! } }) },
  ])('the suite refuses a router that $fault', async ({ caught, break: fault }) => {
    await expect(conformance(caught, sigmoidRouter, fault)).rejects.toThrow(/^router check/);
  });

  it.each<{ fault: string; caught: string; break: (router: Router) => Partial<Router> }>([
    {
      fault: 'assigns by expert choice',
      caught: 'causal',
      break: ({ experts }) => ({ assign: (scores, mask) => expertChoice(scores, new Array<number>(experts).fill(1 / experts), mask) }),
    },
    { fault: 'routes padding', caught: 'causal', break: (r) => ({ assign: (scores) => r.decode(scores) }) },
    { fault: 'balances to other ratios', caught: 'ratios', break: (r) => ({ balance: (scores, rate) => r.balance!(scores.map((s, i) => s / (1 + (i % r.experts))), rate) }) },
    { fault: 'forgets what it balanced', caught: 'stores', break: () => ({ buffers: { bias: tf.variable(tf.zeros([1]), false) } }) },
    { fault: 'has scores without gradient', caught: 'gradient', break: (r) => ({ score: (x) => tf.tensor3d(r.score(x).dataSync(), [x.shape[0], x.shape[1], r.experts]) }) },
    { fault: 'keeps a tensor in balancing', caught: 'behind', break: () => ({ balance: () => Promise.resolve(void tf.keep(tf.scalar(1))) }) },
  ])('the suite refuses a causal router that $fault', async ({ caught, break: fault }) => {
    await expect(conformance(caught, balancedRouter, fault)).rejects.toThrow(/^router check/);
  });

  /** Runs the check whose name has `caught` in it on a broken router. */
  function conformance(caught: string, whole: RouterFactory, fault: (router: Router) => Partial<Router>): Promise<void> {
    const check = routerChecks.find(({ name }) => name.includes(caught))!;
    return check.run((options) => {
      const router = whole(options);
      return { ...router, ...fault(router) };
    });
  }

  /** What the sigmoid router assigns to one sequence of given scores. */
  function assign(scores: number[][], ratios: number[], real?: boolean[]): number[] {
    const router = sigmoidRouter({ ...OPTIONS, ratios });
    const assignment = tf.tidy(() =>
      router
        .assign(tf.tensor3d([scores]), real && tf.tensor2d([real.map(Number)], [1, real.length], 'int32'))
        .dataSync(),
    );
    router.dispose();
    return Array.from(assignment);
  }

  describe('progressive expert choice', () => {
    it('equals the algorithm on plain arrays, with and without padding', () => {
      fc.assert(
        fc.property(batches, ({ ratios, scores, real }) => {
          expect(assign(scores, ratios)).toEqual(plainExpertChoice(scores, ratios));
          expect(assign(scores, ratios, real)).toEqual(plainExpertChoice(scores, ratios, real));
        }),
      );
    });

    it('gives every real token one expert, each expert its capacity, and each capacity to the best tokens', () => {
      fc.assert(
        fc.property(batches, ({ ratios, scores, real }) => {
          const assignment = assign(scores, ratios, real);
          const tokens = real.filter(Boolean).length;
          assignment.forEach((expert, token) => {
            if (!real[token]) expect(expert).toBe(-1);
            else expect(ratios[expert]).toBeDefined();
          });
          let left = assignment.map((_, token) => token).filter((token) => real[token]);
          ratios.forEach((ratio, expert) => {
            const taken = left.filter((token) => assignment[token] === expert);
            const passed = left.filter((token) => assignment[token] !== expert);
            const last = expert === ratios.length - 1;
            expect(taken).toHaveLength(last ? left.length : Math.min(Math.ceil(ratio * tokens - 1e-9), left.length));
            for (const t of taken) {
              for (const p of passed) {
                const [own, other] = [scores[t]![expert]!, scores[p]![expert]!];
                expect(own > other || (own === other && t < p)).toBe(true);
              }
            }
            left = passed;
          });
        }),
      );
    });

    it('leaves less for later experts where the ceilings overshoot', () => {
      const scores = Array.from({ length: 4 }, () => [0.5, 0.5, 0.5]);
      expect(assign(scores, [1 / 3, 1 / 3, 1 / 3])).toEqual([0, 0, 1, 1]);
      expect(assign(scores.slice(0, 1), [0.4, 0.4, 0.2])).toEqual([0]);
    });

    it('takes no capacity for padding: a padded sequence is routed like the same one alone', () => {
      const scores = [[0.9], [0.1], [0.8], [0.7], [0.2]].map(([s]) => [s!, 1 - s!]);
      expect(assign([...scores, [1, 1], [1, 1], [1, 1]], [0.4, 0.6], [...scores.map(() => true), false, false, false])).toEqual([
        ...assign(scores, [0.4, 0.6]), -1, -1, -1,
      ]);
    });
  });

  describe('argMaxExpert', () => {
    it('takes the highest score, the lower expert of equal ones', () => {
      fc.assert(
        fc.property(batches, ({ scores }) => {
          const chosen = tf.tidy(() => Array.from(argMaxExpert(tf.tensor3d([scores])).dataSync()));
          expect(chosen).toEqual(scores.map((row) => row.indexOf(Math.max(...row))));
        }),
      );
    });

    it('tells scores apart that differ in the last bit, and stays in range on NaN', () => {
      const next = new Float32Array([0.5]);
      new Uint32Array(next.buffer)[0]!++;
      const scores = tf.tensor3d([0.5, next[0]!, 0.25, next[0]!, 0.5, next[0]!, NaN, NaN, NaN], [1, 3, 3]);
      expect(Array.from(argMaxExpert(scores).dataSync())).toEqual([1, 0, 2]);
    });
  });

  describe('consistencyLoss', () => {
    it('is the mean cross-entropy of the assigned expert, with the gradient of its definition', () => {
      const values = [[0.1, 0.7, 0.4], [0.9, 0.2, 0.3], [0.5, 0.5, 0.6]];
      const experts = [2, -1, 0];
      const assignment = tf.tensor2d([experts], [1, 3], 'int32');
      const { value, grad } = tf.valueAndGrad((s: tf.Tensor) => consistencyLoss(s as Tensor3D, assignment))(tf.tensor3d([values]));
      const softmax = values.map((row) => row.map((s) => Math.exp(s) / row.reduce((sum, r) => sum + Math.exp(r), 0)));
      expect(value.dataSync()[0]).toBeCloseTo(-(Math.log(softmax[0]![2]!) + Math.log(softmax[2]![0]!)) / 2, 5);
      const expected = softmax.flatMap((row, t) => row.map((p, e) => (experts[t]! < 0 ? 0 : (p - Number(experts[t] === e)) / 2)));
      Array.from(grad.dataSync()).forEach((g, i) => expect(g).toBeCloseTo(expected[i]!, 5));
    });

    it('agrees with finite differences, whatever factor it enters a larger loss with', () => {
      const scores = uniform([2, 6, 3], 1);
      const direction = uniform([2, 6, 3], 2);
      const assignment = tf.tensor2d([0, 1, 2, 2, -1, 1, 0, 0, 2, 1, -1, -1], [2, 6], 'int32');
      const mask = tf.tensor2d([1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0], [2, 6], 'int32');
      const objective = (s: tf.Tensor) => tf.mul<tf.Scalar>(consistencyLoss(s as Tensor3D, assignment, mask), 3);
      const gradient = tf.grad(objective)(scores);
      const along = (h: number) => objective(tf.add(scores, tf.mul(direction, h))).dataSync()[0]!;
      const slope = (along(0.05) - along(-0.05)) / 0.1;
      expect(tf.sum(tf.mul(gradient, direction)).dataSync()[0]! / slope).toBeCloseTo(1, 3);
    });

    it('is finite where softmax underflows, and 0 without real tokens', () => {
      const far = tf.tensor3d([[[0, 200]]]);
      expect(consistencyLoss(far, tf.tensor2d([[0]], [1, 1], 'int32')).dataSync()[0]).toBeCloseTo(37 * Math.log(10), 3);
      expect(consistencyLoss(far, tf.tensor2d([[-1]], [1, 1], 'int32')).dataSync()[0]).toBeCloseTo(0);
    });

    it('refuses an assignment of another shape', () => {
      expect(() => consistencyLoss(tf.zeros([2, 3, 2]), tf.zeros([3, 2], 'int32'))).toThrow(/assignment of shape \[2, 3\], got \[3, 2\]/);
    });

    it('leaves no tensor behind in a training step', () => {
      const router = sigmoidRouter(OPTIONS);
      const x = uniform([2, 9, 16], 4);
      const before = tf.memory().numTensors;
      const { value, grads } = tf.variableGrads(() => {
        const scores = router.score(x);
        return router.loss(scores, router.assign(scores));
      }, Object.values(router.trainable));
      tf.dispose([value, ...Object.values(grads)]);
      expect(tf.memory().numTensors).toBe(before);
      router.dispose();
    });
  });

  it('learns to decode what expert choice assigns, from the consistency loss alone', async () => {
    const router = sigmoidRouter(OPTIONS);
    const x = uniform([4, 20, 16], 8);
    const decoded = () => {
      const scores = router.score(x);
      return routingStatistics(router.assign(scores), router.decode(scores), 3);
    };
    const before = await decoded();
    for (let step = 0; step < 200; step++) {
      const { value, grads } = tf.variableGrads(() => {
        const scores = router.score(x);
        return router.loss(scores, router.assign(scores));
      }, Object.values(router.trainable));
      for (const variable of Object.values(router.trainable)) {
        tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(grads[variable.name]!, 3))));
      }
      tf.dispose([value, ...Object.values(grads)]);
    }
    const after = await decoded();
    expect(after.agreement).toBeGreaterThan(before.agreement + 0.15);
    expect(after.agreement).toBeGreaterThan(0.8);
    router.dispose();
  });

  it('keeps the ratios while its weights move, when it is balanced after each step', async () => {
    const router = balancedRouter(OPTIONS);
    const random = new SeededRandom(2, 5);
    const weight = router.trainable['weight']!;
    for (let step = 1; step <= 60; step++) {
      tf.tidy(() => weight.assign(tf.add(weight, Float32Array.from({ length: 16 }, () => 0.02 * random.normal()))));
      const scores = router.score(normal([1, 1000, 16], step));
      await router.balance!(scores.dataSync<'float32'>(), Math.max(0.1, 1 / step));
    }
    const scores = router.score(normal([1, 10_000, 16], 99));
    const { agreement, ratios } = await routingStatistics(router.assign(scores), router.decode(scores), 3);
    expect(agreement).toBe(1);
    ratios.decode.forEach((share, expert) => expect(Math.abs(share - OPTIONS.ratios[expert]!)).toBeLessThan(0.02));
    expect(tf.max(scores).dataSync()[0]).toBeLessThan(0.9); // far from where a sigmoid saturates
    router.dispose();
  });

  it('never gives a token to an expert of ratio 0', async () => {
    const router = balancedRouter({ ...OPTIONS, ratios: [0.5, 0, 0.5] });
    for (const rate of [1, 0.1]) await router.balance!(router.score(normal([1, 50, 16], 1)).dataSync<'float32'>(), rate);
    expect(router.decode(router.score(normal([1, 500, 16], 2))).dataSync()).not.toContain(1);
    router.dispose();
  });

  it('draws at the ratios and independently of prefill when random', async () => {
    const router = createRouter('random', OPTIONS);
    const scores = router.score(normal([100, 80, 16], 6));
    const { agreement, ratios } = await routingStatistics(router.assign(scores), router.decode(scores), 3);
    expect(ratios.prefill).toEqual([0.3, 0.1, 0.6]);
    ratios.decode.forEach((share, expert) => expect(Math.abs(share - OPTIONS.ratios[expert]!)).toBeLessThan(0.02));
    expect(Math.abs(agreement - (0.09 + 0.01 + 0.36))).toBeLessThan(0.02);
    router.dispose();
  });

  it('draws by seed and by layer', async () => {
    const x = normal([1, 50, 16], 6);
    for (const kind of DRAWN) {
      const drawn = [OPTIONS, { ...OPTIONS, seed: 4 }, { ...OPTIONS, layer: 1 }].map((options) => {
        const router = createRouter(kind, options);
        const scores = Array.from(router.score(x).dataSync());
        router.dispose();
        return scores;
      });
      expect(drawn[0]).not.toEqual(drawn[1]);
      expect(drawn[0]).not.toEqual(drawn[2]);
    }
  });
});

describe('sigmoidRouter', () => {
  it('starts He-normal, with a bias of zeros', () => {
    const router = sigmoidRouter({ ...OPTIONS, hiddenSize: 4096 });
    expect(router.trainable['weight']!.shape).toEqual([3, 4096]);
    expect(Array.from(router.trainable['bias']!.dataSync())).toEqual([0, 0, 0]);
    const weight = router.trainable['weight']!.dataSync<'float32'>();
    const square = weight.reduce((sum, w) => sum + w * w, 0) / weight.length;
    expect(square / (2 / 4096)).toBeGreaterThan(0.95);
    expect(square / (2 / 4096)).toBeLessThan(1.05);
    router.dispose();
  });

  it('takes trained weights as a copy', () => {
    const [weight, bias] = [Float32Array.from({ length: 48 }, (_, i) => i / 48), Float32Array.of(1, 2, 3)];
    const router = sigmoidRouter({ ...OPTIONS, weights: { weight, bias } });
    const given = Array.from(weight);
    weight.fill(9);
    expect(Array.from(router.trainable['weight']!.dataSync())).toEqual(given);
    expect(Array.from(router.trainable['bias']!.dataSync())).toEqual([1, 2, 3]);
    router.dispose();
  });

  it('refuses weights that do not fit', () => {
    const weights = { weight: new Float32Array(47), bias: new Float32Array(3) };
    for (const factory of [sigmoidRouter, balancedRouter]) {
      expect(() => factory({ ...OPTIONS, weights })).toThrow(/weight of 3 x 16 values, got 47/);
    }
  });
});

describe('distortionRouter', () => {
  beforeAll(() => startBackend('wasm'));

  /** Of each token ‖k‖², the errors of the keys under three experts, and the same of the values. */
  const SEEN = [
    [8, 0, 1, 4, 2, 0, 1, 1],
    [4, 0, 0, 1, 6, 0, 2, 3],
  ];

  it('scores what an expert saves over the last, relative to the mean energies of what it was balanced on', async () => {
    const router = distortionRouter({ ...OPTIONS, ratios: [0.5, 0.5, 0] });
    const before = tf.tidy(() => Array.from(router.score(tf.tensor3d([SEEN])).dataSync()));
    expect(before).toEqual([5, 3, -1e4, 4, 2, -1e4]);
    await router.balance!(Float32Array.from(SEEN.flat()), 0.5);
    expect(Array.from(router.buffers['energy']!.dataSync())).toEqual([(1 + 6) / 2, (1 + 4) / 2]);
    await router.balance!(Float32Array.from(SEEN.flat()), 1);
    expect(Array.from(router.buffers['energy']!.dataSync())).toEqual([6, 4]);
    const bias = router.buffers['bias']!.dataSync();
    const scores = tf.tidy(() => router.score(tf.tensor3d([SEEN])).dataSync());
    const last = [4 / 6 + 1 / 4, 1 / 6 + 3 / 4];
    [last[0]!, last[0]! - 1 / 6 - 1 / 4, 0, last[1]!, last[1]! - 2 / 4, 0].forEach((saved, i) => expect(scores[i]!).toBeCloseTo(saved + bias[i % 3]!, 4));
    expect(Array.from(tf.tidy(() => router.decode(router.score(tf.tensor3d([SEEN])))).dataSync())).toEqual([1, 0]); // who saves more
    router.dispose();
  });

  it('holds energies and prices of tokens that are 0', async () => {
    const router = distortionRouter(OPTIONS);
    await router.balance!(new Float32Array(16), 1);
    expect(Array.from(tf.tidy(() => router.score(tf.zeros([1, 1, 8]))).dataSync()).every(Number.isFinite)).toBe(true);
    router.dispose();
  });

  it('takes stored values as a copy, and refuses those that do not fit', () => {
    const weights = { energy: Float32Array.of(2, 4), bias: Float32Array.of(0, 1, 2) };
    const router = distortionRouter({ ...OPTIONS, weights });
    weights.energy.fill(9);
    expect(Array.from(tf.tidy(() => router.score(tf.tensor3d([[[1, 0, 1, 2, 1, 0, 2, 4]]]))).dataSync())).toEqual([2, 2, 2]);
    router.dispose();
    expect(() => distortionRouter({ ...OPTIONS, weights: { ...weights, energy: new Float32Array(3) } })).toThrow('energy of 2 values, got 3');
  });

  it('refuses hidden states, and what it cannot balance', async () => {
    const router = distortionRouter(OPTIONS);
    expect(() => router.score(tf.zeros([1, 2, 16]))).toThrow('distortionRouter: expected 8 numbers for each token, of 3 experts, got 16');
    for (const seen of [[], [1], [...SEEN[0]!.slice(1), NaN]]) {
      await expect(router.balance!(Float32Array.from(seen), 1)).rejects.toThrow(`balance: expected 8 finite numbers for each token, got ${seen.length}`);
    }
    await expect(router.balance!(new Float32Array(8), 0)).rejects.toThrow('expected a rate above 0, up to 1, got 0');
    router.dispose();
  });
});

describe('routerParameters', () => {
  it('has the shapes of what each kind stores', () => {
    const sizes = { hiddenSize: 16, experts: 3 };
    expect(routerParameters('sigmoid', sizes)).toEqual({ weight: [3, 16], bias: [3] });
    expect(routerParameters('random', sizes)).toEqual({});
    expect(routerParameters('distortion', sizes)).toEqual({ energy: [2], bias: [3] });
    expect(() => routerParameters('softmax', sizes)).toThrow(/routerParameters: expected a router of sigmoid, random, .*, got 'softmax'/);
  });
});

describe('balancingShift', () => {
  it('shares tokens exactly at the ratios, with the highest logit at 0', () => {
    fc.assert(
      fc.property(fc.constantFrom([0.3, 0.1, 0.6], [0.5, 0, 0.5], [1], [0.25, 0.25, 0.25, 0.25], [0.01, 0.99]), fc.nat(), (ratios, seed) => {
        const random = new SeededRandom(seed, 3);
        const experts = ratios.length;
        const logits = Float32Array.from({ length: 400 * experts }, (_, i) => 3 * (i % experts) + random.normal());
        const shift = balancingShift(logits, ratios);
        const counts = new Array<number>(experts).fill(0);
        let top = -Infinity;
        for (let t = 0; t < 400; t++) {
          const row = shift.map((each, e) => (ratios[e]! > 0 ? logits[t * experts + e]! + each : -Infinity));
          counts[row.indexOf(Math.max(...row))]!++;
          top = Math.max(top, ...row);
        }
        counts.forEach((n, expert) => expect(Math.abs(n - 400 * ratios[expert]!)).toBeLessThanOrEqual(1));
        expect(top).toBeCloseTo(0, 5);
      }),
      { numRuns: 40 },
    );
  });

  it.each([[[]], [[1, 2]], [[1, 2, NaN]], [[1, 2, Infinity]]])('refuses %j as logits of 3 experts', (logits) => {
    expect(() => balancingShift(Float32Array.from(logits), [0.3, 0.1, 0.6])).toThrow(
      `balance: expected finite scores of 3 experts for each token, got ${logits.length} numbers`,
    );
  });
});

describe('softGates', () => {
  beforeAll(() => startBackend('wasm'));

  it('are the softmax of the logits behind the scores', () => {
    const logits = [1, -2, 0.5];
    const gates = tf.tidy(() => Array.from(softGates(tf.sigmoid(tf.tensor3d([[logits]]))).dataSync()));
    const sum = logits.reduce((all, x) => all + Math.exp(x), 0);
    gates.forEach((gate, e) => expect(gate).toBeCloseTo(Math.exp(logits[e]!) / sum, 5));
  });

  it('are finite where scores saturate', () => {
    expect(tf.tidy(() => Array.from(softGates(tf.tensor3d([[[0, 1, 1]]])).dataSync()))).toEqual([0, 0.5, 0.5]);
  });
});

describe('createRouter', () => {
  it('takes a factory that nobody registered', () => {
    const router = createRouter((options) => ({ ...sigmoidRouter(options), decode: () => tf.zeros([1, 1], 'int32') }), OPTIONS);
    expect(router.experts).toBe(3);
    router.dispose();
  });

  it.each([
    { change: { ratios: [0.3, 0.3] }, message: /sum 1, got 0.3:0.3; divide/ },
    { change: { ratios: [1.5, -0.5] }, message: /0 or more with sum 1, got 1.5:-0.5/ },
    { change: { ratios: [NaN, 1] }, message: /got NaN:1/ },
    { change: { ratios: [] }, message: /got none/ },
    { change: { hiddenSize: 0 }, message: /hiddenSize to be a whole number from 1, got 0/ },
    { change: { seed: 0.5 }, message: /expected integers as seed and stream, got 0.5/ },
  ])('refuses $change', ({ change, message }) => {
    const kinds = 'seed' in change ? DRAWN : Object.keys(routers);
    for (const kind of kinds) {
      expect(() => createRouter(kind, { ...OPTIONS, ...change })).toThrow(message);
      expect(() => createRouter(kind, { ...OPTIONS, ...change })).toThrow(ArgumentError);
    }
  });

  it('refuses an unknown name', () => {
    registerRouter('own-sigmoid', sigmoidRouter);
    expect(createRouter('own-sigmoid', OPTIONS).experts).toBe(OPTIONS.ratios.length);
    expect(() => registerRouter('own-sigmoid', routers.random)).toThrow('expected a name that is free, got own-sigmoid');
    expect(() => registerRouter('', sigmoidRouter)).toThrow('expected a name of letters, digits and hyphens, got ""');
    expect(() => createRouter('softmax', OPTIONS)).toThrow(/of sigmoid, random, balanced, distortion, own-sigmoid, got 'softmax'/);
    expect(() => createRouter('toString', OPTIONS)).toThrow(ArgumentError);
  });
});

describe('routingStatistics', () => {
  const ids = (rows: number[][]): Tensor2D => tf.tensor2d(rows, [rows.length, rows[0]!.length], 'int32');

  it('counts real tokens only', async () => {
    const prefill = ids([[0, 1, 1, -1], [2, 2, 0, 1]]);
    const decode = ids([[0, 1, 2, 2], [2, 0, 0, 0]]);
    expect(await routingStatistics(prefill, decode, 3, ids([[1, 1, 1, 1], [1, 1, 0, 0]]))).toEqual({
      agreement: 3 / 5,
      ratios: { prefill: [1 / 5, 2 / 5, 2 / 5], decode: [2 / 5, 1 / 5, 2 / 5] },
    });
  });

  it('refuses what it cannot count', async () => {
    await expect(routingStatistics(ids([[0]]), ids([[0, 1]]), 2)).rejects.toThrow(/shape of prefill, \[1, 1\], got \[1, 2\]/);
    await expect(routingStatistics(ids([[-1]]), ids([[0]]), 2)).rejects.toThrow(/at least one real token/);
    await expect(routingStatistics(ids([[2]]), ids([[0]]), 2)).rejects.toThrow(/experts from 0 to 1, got 2 and 0/);
    await expect(routingStatistics(ids([[1]]), ids([[2]]), 2)).rejects.toThrow(/experts from 0 to 1, got 1 and 2/);
    await expect(routingStatistics(ids([[1]]), ids([[-1]]), 2)).rejects.toThrow(/experts from 0 to 1, got 1 and -1/);
  });
});

function uniform(shape: number[], stream: number): Tensor3D {
  const random = new SeededRandom(11, stream);
  return tf.tensor<tf.Rank>(Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => 2 * random.next() - 1), shape) as Tensor3D;
}

function normal(shape: number[], stream: number): Tensor3D {
  const random = new SeededRandom(11, stream);
  return tf.tensor<tf.Rank>(Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()), shape) as Tensor3D;
}
