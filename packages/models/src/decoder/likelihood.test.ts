import { describeBackends, startBackend, trackTensors } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertModel } from '../checkpoints/convert';
import type { ModelConfig } from '../config/shape';
import { createDecoder } from './create-decoder';
import { parseModelConfig } from '../families/index';
import { createTrainable } from '../training/model';
import { streamNll } from '../evaluation/stream-nll';
import { tinyConfig, tinyForms, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';
import type { CachedDecoder } from './cached-decoder';

const forms = Object.keys(tinyForms) as TinyForm[];
const ROUTINGS = ['prefill', 'decode'] as const;
const inputs = tinyTokens(40, 1);
const targets = tinyTokens(40, 2);

const decoderOf = (config: ModelConfig): Promise<CachedDecoder> => createDecoder(config, tinyValues(config, 5));

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends)('on $name', ({ name, software }) => {
  beforeAll(async () => void (await startBackend(name)));

  const routed = (form: TinyForm) => (form === 'llama with 3 KV heads' ? 'mixsga:1:2@1,3' : 'mixsga:3:1:6');
  // A device that the processor stands in for is slow: one form of each family.
  const tried = software ? (['opt', 'llama', 'gemma2'] as const) : forms;
  const cases = tried.flatMap((form) => [[form, routed(form)], ...(software ? [] : [[form, 'mha'], [form, 'cla:2']])] as [TinyForm, string][]);

  it.each(cases)('%s with %s has under decode routing the likelihoods of decoding token by token', async (form, attention) => {
    const decoder = await decoderOf(tinyConfig(form, attention));
    const count = software ? 8 : 40;
    const [some, wanted] = [inputs.subarray(0, count), targets.subarray(0, count)];
    const { nll } = await decoder.likelihood(some, wanted, { routing: 'decode' });
    expect(furthest(nll, (await streamNll(decoder, some, wanted, { windows: 1, cache: 'none' })).nll)).toBeLessThan(1e-4);
    decoder.dispose();
  });

  it.each(tried)('%s collapses one token to the mean of its heads, which changes nothing before it', async (form) => {
    const config = tinyConfig(form);
    const values = tinyValues(config, 5);
    const kvHeads = form === 'llama with 3 KV heads' ? 3 : form.startsWith('opt') ? 8 : 4;
    const decoder = await createDecoder(config, values);
    const whole = await decoder.likelihood(inputs, targets, { routing: 'decode' });
    const { nll } = await decoder.likelihood(inputs, targets, { routing: 'decode', collapsed: 10 });
    expect(furthest(nll.subarray(0, 10), whole.nll.subarray(0, 10))).toBe(0);
    nll.subarray(10).forEach((value, t) => expect(Math.abs(value - whole.nll[10 + t]!), `token ${10 + t}`).toBeGreaterThan(1e-6));

    // A token alone, collapsed, is one of a model that has a single KV head.
    const single = convertModel(config, values, `gqa:${kvHeads}`);
    const other = await createDecoder(single.config, single.values);
    for (const token of [3, 17]) {
      const [one, next] = [Int32Array.of(token), Int32Array.of(token + 1)];
      const expected = await other.likelihood(one, next, { routing: 'decode' });
      const { nll } = await decoder.likelihood(one, next, { routing: 'decode', collapsed: 0 });
      expect(Math.abs(nll[0]! - expected.nll[0]!)).toBeLessThan(1e-5);
    }
    for (const used of [decoder, other]) used.dispose();
  });

  it('collapses what an expert stores: of root means the mean, √g times that of the heads', async () => {
    const config = tinyConfig('llama', 'mixsga-root:0:1');
    const values = tinyValues(config, 5);
    const decoder = await createDecoder(config, values);
    const single = convertModel(tinyConfig('llama'), values, 'gqa:4');
    for (const [name, array] of single.values) if (name.includes('v_proj')) single.values.set(name, array.map((v) => v * Math.SQRT2));
    const other = await createDecoder(single.config, single.values);
    const [one, next] = [Int32Array.of(9), Int32Array.of(2)];
    const expected = await other.likelihood(one, next, { routing: 'decode' });
    const { nll } = await decoder.likelihood(one, next, { routing: 'prefill', collapsed: 0 });
    expect(Math.abs(nll[0]! - expected.nll[0]!)).toBeLessThan(1e-5);
    for (const used of [decoder, other]) used.dispose();
  });

  it('leaves out targets that are negative, and leaves no tensor', async () => {
    const decoder = await decoderOf(tinyConfig('gemma2', 'mixsga:3:1:6'));
    const whole = await decoder.likelihood(inputs, targets, { routing: 'prefill' });
    const asked = (t: number) => t === 0 || (t > 4 && t < 9) || t > 30;
    const some = targets.map((target, t) => (asked(t) ? target : -1));
    const leaks = await trackTensors(async () => {
      const { nll, greedy } = await decoder.likelihood(inputs, some, { routing: 'prefill' });
      expect(furthest(nll, whole.nll.map((value, t) => (asked(t) ? value : 0)))).toBeLessThan(1e-5);
      expect([...greedy]).toEqual([...whole.greedy].map((flag, t) => (asked(t) ? flag : 0)));
      await decoder.routingOf(inputs, { routing: 'decode' });
    });
    expect(leaks.tensors).toBe(0);
    decoder.dispose();
  });

  it.skipIf(software)('takes a vocabulary whose logits have to come in parts', async () => {
    const config = parseModelConfig({ ...tinyForms.llama, hidden_size: 16, num_hidden_layers: 1, vocab_size: 210_000 }, 'test');
    const decoder = await decoderOf(config);
    // 39 rows of logits have 32 MiB.
    const wanted = Int32Array.from({ length: 40 }, (_, t) => (t * 8191 * 7) % 210_000);
    const { nll } = await decoder.likelihood(inputs, wanted, { routing: 'decode' });
    for (const position of [0, 38, 39]) {
      const one = wanted.map((target, t) => (t === position ? target : -1));
      const alone = await decoder.likelihood(inputs, one, { routing: 'decode' });
      expect(Math.abs(alone.nll[position]! - nll[position]!)).toBeLessThan(1e-5);
    }
    decoder.dispose();
  });
});

describe('a decoder', () => {
  beforeAll(async () => void (await startBackend('wasm')));

  it.each(['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6', 'mixsga-root:3:1:6'])(
    'of OPT with %s has the likelihoods and the routing of the model that trains',
    async (attention) => {
      const config = tinyConfig('opt', attention);
      const values = tinyValues(config, 5);
      const [decoder, model] = [await createDecoder(config, values), await createTrainable(config, values)];
      const [x, y] = [inputs, targets].map((tokens) => tf.tensor2d(tokens, [1, 40], 'int32')) as [tf.Tensor2D, tf.Tensor2D];
      for (const routing of ROUTINGS) {
        const expected = model.tokenNll(x, y, { routing });
        const { nll } = await decoder.likelihood(inputs, targets, { routing });
        expect(furthest(nll, await expected.data()), routing).toBeLessThan(1e-4);
        const layers = model.routingOf(x, { routing });
        const actual = await decoder.routingOf(inputs, { routing });
        expect(actual).toHaveLength(layers.length);
        for (const [i, { scores, prefill, decode }] of layers.entries()) {
          expect(furthest(actual[i]!.scores, await scores.data())).toBeLessThan(1e-5);
          expect(actual[i]!.prefill).toEqual(await prefill.data());
          expect(actual[i]!.decode).toEqual(await decode.data());
        }
        tf.dispose([expected, ...layers.flatMap((layer) => Object.values(layer) as tf.Tensor[])]);
      }
      tf.dispose([x, y]);
      model.dispose();
      decoder.dispose();
    },
  );

  it.each([['bf16', 0.01], ['int8', 0.02]] as const)('has likelihoods with %s weights', async (weights, tolerance) => {
    const config = tinyConfig('llama');
    const values = tinyValues(config, 5);
    const [exact, packed] = [await createDecoder(config, values), await createDecoder(config, values, { weights })];
    const total = async (decoder: CachedDecoder) =>
      (await decoder.likelihood(inputs, targets, { routing: 'decode' })).nll.reduce((a, b) => a + b, 0);
    const [a, b] = [await total(exact), await total(packed)];
    expect(Math.abs(a - b) / a).toBeLessThan(tolerance);
    expect(a).not.toBe(b);
    for (const decoder of [exact, packed]) decoder.dispose();
  });

  it('routes a text as generation does, its prompt together and what follows by arg max', async () => {
    const decoder = await decoderOf(tinyConfig('opt', 'mixsga:3:1:6'));
    const cache = decoder.createCache();
    await decoder.prefill(inputs, cache, { promptTokens: 25, want: 'argMax' });
    const layers = await decoder.routingOf(inputs, { routing: 'prefill', promptTokens: 25 });
    layers.forEach(({ prefill, decode }, layer) => {
      expect([...prefill]).toEqual([...inputs].map((_, token) => cache.expertOf(layer, token)));
      expect(prefill.subarray(25)).toEqual(decode.subarray(25));
    });
    const together = await decoder.routingOf(inputs, { routing: 'prefill' });
    expect(layers[0]!.prefill).not.toEqual(together[0]!.prefill);
    await expect(decoder.routingOf(inputs, { routing: 'prefill', promptTokens: 41 })).rejects.toThrow('routingOf: expected a prompt of 0 to 40 tokens, got 41');
    cache.dispose();
    decoder.dispose();
  });

  it('stops between two layers when aborted, and frees what it took', async () => {
    const decoder = await decoderOf(tinyConfig('opt', 'mixsga:3:1:6'));
    await decoder.likelihood(inputs, targets, { routing: 'decode' });
    const leaks = await trackTensors(async () => {
      const controller = new AbortController();
      const aborted = decoder.likelihood(inputs, targets, { routing: 'decode', signal: controller.signal });
      setImmediate(() => controller.abort(new Error('enough')));
      await expect(aborted).rejects.toThrow('enough');
    });
    expect(leaks.tensors).toBe(0);
    decoder.dispose();
  });

  it('says what is wrong with the tokens', async () => {
    const decoder = await decoderOf(tinyConfig('opt'));
    const ask = (x: Int32Array, y: Int32Array, collapsed?: number) => decoder.likelihood(x, y, { routing: 'decode', collapsed });
    await expect(ask(new Int32Array(0), new Int32Array(0))).rejects.toThrow('likelihood: expected at least one token, got none');
    await expect(ask(new Int32Array(81), new Int32Array(81))).rejects.toThrow('likelihood: expected at most 80 tokens in a sequence, got 81');
    await expect(ask(inputs, targets.subarray(1))).rejects.toThrow('likelihood: expected a target for each of 40 tokens, got 39');
    await expect(ask(inputs, targets.with(3, 50))).rejects.toThrow("likelihood: expected targets below 50, got 50; is it this model's tokenizer?");
    await expect(ask(inputs.with(3, 50), targets)).rejects.toThrow('likelihood: expected token ids from 0 to 49, got 50 at 3');
    await expect(ask(inputs, targets, 40)).rejects.toThrow('likelihood: expected collapsed to be a position from 0 to 39, got 40');
    await expect(decoder.routingOf(inputs.with(3, -1), { routing: 'decode' })).rejects.toThrow('routingOf: expected token ids from 0 to 49, got -1');
    decoder.dispose();
  });
});
