import { describeBackends, startBackend, trackTensors } from '@mixsga/backend';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertConfig, convertedSource, convertModel } from '../checkpoints/convert';
import { createDecoder } from './create-decoder';
import { distance, feed, inOnePass } from '../testing/decoding';
import { tinyConfig, tinyForms, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';
import type { CachedDecoder } from './cached-decoder';
import { sourceOf } from './weight-loader';

const forms = Object.keys(tinyForms) as TinyForm[];
const variants: Readonly<Record<'3 KV heads' | 'others', [attention: string, router?: 'random'][]>> = {
  '3 KV heads': [['mha'], ['gqa:3'], ['cla:4'], ['mixsga:1:2@1,3'], ['mixsga-root:1:1@1,3']],
  others: [['mha'], ['gqa:2'], ['cla:2'], ['mixsga:3:1:6'], ['mixsga-root:3:1:6'], ['mixsga:1:1@2,4'], ['mixsga:3:1:6', 'random']],
};
const cases = forms.flatMap((form) =>
  variants[form === 'llama with 3 KV heads' ? '3 KV heads' : 'others'].map(([attention, router]) => [form, attention, router] as const),
);

function decoderOf(form: TinyForm, attention: string, router?: 'random'): Promise<CachedDecoder> {
  const config = tinyConfig(form, attention, router);
  return createDecoder(config, tinyValues(config, 5));
}

const join = (...parts: Int32Array[]) => Int32Array.from(parts.flatMap((part) => [...part]));

const backends = (await describeBackends()).filter(({ available }) => available);

describe.each(backends)('on $name', ({ name, software }) => {
  beforeAll(async () => void (await startBackend(name)));

  // A device that the processor stands in for is slow: one variant of each form, and of what follows the last form alone.
  const least = <T>(all: readonly T[]) => (software ? all.slice(-1) : all);

  // There, norms of keys are tried in parity/ alone.
  const few = cases.filter(([form, attention, router]) => /^mixsga:(3:1:6|1:2@1,3)$/.test(attention) && !router && form !== 'gemma3' && form !== 'olmo2');
  // Beyond the page of the prompt's end on the fastest alone.
  const steps = name === 'wasm' ? 20 : 8;
  it.each(software ? few : cases)('%s decodes with %s %s step by step like one pass with the same experts', async (form, attention, router) => {
    const decoder = await decoderOf(form, attention, router);
    const [prompt, next] = [tinyTokens(21, 1), tinyTokens(steps, 2)];
    const cache = decoder.createCache();
    await decoder.prefill(prompt, cache, { want: 'argMax' });
    expect(distance(await feed(decoder, next, cache), await inOnePass(decoder, join(prompt, next), 21))).toBeLessThan(1e-4);
    decoder.dispose();
  });

  it.each(least(forms.map((form) => [form, form === 'llama with 3 KV heads' ? 'mixsga:1:2@1,3' : 'mixsga:3:1:6'] as const)))(
    '%s with %s decodes a batch of three ragged sequences like each alone, and goes on from caches cut, forked or restored',
    async (form, attention) => {
      const decoder = await decoderOf(form, attention);
      const texts = [tinyTokens(33, 1), tinyTokens(5, 2), tinyTokens(20, 3)];
      const caches = texts.map(() => decoder.createCache());
      for (const [i, text] of texts.entries()) await decoder.prefill(text, caches[i]!, { want: 'argMax' });
      const fork = caches[0]!.fork();
      const next = [tinyTokens(3, 4), tinyTokens(3, 5), tinyTokens(3, 6)];
      let logits = new Float32Array(0);
      for (let t = 0; t < 3; t++) {
        const { logits: values } = await decoder.step(Int32Array.from(next, (tokens) => tokens[t]!), caches, { want: 'logits' });
        logits = values!.slice() as Float32Array<ArrayBuffer>;
      }
      const size = decoder.vocabularySize;
      for (const [i, text] of texts.entries()) {
        const alone = await inOnePass(decoder, join(text, next[i]!), text.length);
        expect(distance(logits.subarray(i * size, (i + 1) * size), alone)).toBeLessThan(1e-4);
      }
      const other = tinyTokens(4, 7);
      const expected = await inOnePass(decoder, join(texts[0]!, other), 33);
      caches[0]!.truncate(33);
      const restored = await decoder.restoreCache(await fork.serialise());
      for (const cache of [caches[0]!, fork, restored]) expect(distance(await feed(decoder, other, cache), expected)).toBeLessThan(1e-4);
      decoder.dispose();
    },
  );

  const budgeted = [
    ['llama', 'mha', 'oldest'], ['opt', 'gqa:2', 'h2o'], ['opt', 'mixsga-root:3:1:6', 'mean-attention'],
    ['opt', 'mixsga:3:1:6', 'mean-attention'], ['opt', 'mixsga:3:1:6', 'oldest'],
  ] as const;
  it.each(software ? budgeted.slice(-2, -1) : budgeted)(
    '%s with %s changes nothing under a KV budget by %s that holds all, and under a small one is what the reference makes of it',
    async (form, attention, policy) => {
      const decoder = await decoderOf(form, attention);
      const [prompt, next] = [tinyTokens(25, 1), tinyTokens(20, 2)];
      const run = async (of: CachedDecoder, bytes?: number) => {
        const cache = of.createCache({ cache: bytes === undefined ? 'none' : `${policy}:${bytes}B`, maxTokens: 46 });
        await of.prefill(prompt, cache, { want: 'argMax' });
        return { logits: await feed(of, next, cache), cache };
      };
      const { logits, cache } = await run(decoder);
      const whole = await run(decoder, 4 * 46 * (cache.bytes().used + 8));
      expect(distance(whole.logits, logits)).toBeLessThan(1e-5);
      // What the tokens at the finest take, entries included.
      const half = Math.ceil((whole.cache.bytes().used * (attention === 'mha' ? 1 : 2)) / 3);
      const small = await run(decoder, half);
      expect(distance(small.logits, logits)).toBeGreaterThan(1e-4);
      expect(small.cache.bytes().used).toBeLessThanOrEqual(half);
      expect(small.cache.tokensKept(0)).toBe(45);
      const counts = small.cache.expertCounts();
      decoder.dispose();
      if (name === 'cpu') return; // the reference itself
      // On the processor: the reference reads tensors at once, which WebGPU outside of browsers can't.
      await startBackend('cpu');
      try {
        const reference = await decoderOf(form, attention);
        const expected = await run(reference, half);
        expect(reference.runtime.path).toBe('reference');
        expect(counts).toEqual(expected.cache.expertCounts());
        expect(distance(small.logits, expected.logits)).toBeLessThan(1e-4);
        reference.dispose();
      } finally {
        await startBackend(name);
      }
    },
  );

  it.each(least(['opt', 'llama', 'gemma2'] as const))('%s leaves no tensor behind a step, and frees everything in the end', async (form) => {
    const whole = await trackTensors(async () => {
      const decoder = await decoderOf(form, 'mixsga:3:1:6');
      const cache = decoder.createCache();
      await decoder.prefill(tinyTokens(33, 1), cache, { want: 'argMax' });
      await feed(decoder, tinyTokens(1, 1), cache);
      const steps = await trackTensors(async () => {
        for (let t = 0; t < 5; t++) {
          await decoder.step(Int32Array.of(t), [cache], { want: 'argMax' });
          cache.truncate(34);
        }
      });
      expect(steps.tensors).toBe(0);
      decoder.dispose();
    });
    expect(whole.tensors).toBe(0);
  });
});

describe('a decoder', () => {
  beforeAll(async () => void (await startBackend('wasm')));

  it.each(forms)('of %s computes the same with weights converted while they are read', async (form) => {
    const config = tinyConfig(form);
    const values = tinyValues(config, 5);
    for (const attention of form === 'llama with 3 KV heads' ? ['gqa:3', 'cla:2', 'mixsga:1:2@1,3'] : ['gqa:2', 'cla:2', 'mixsga:3:1:6']) {
      const converted = convertModel(config, values, attention, { routerSeed: 3 });
      const decoders = [
        await createDecoder(converted.config, converted.values),
        await createDecoder(convertConfig(config, attention, { routerSeed: 3 }), convertedSource(config, sourceOf(values), attention)),
      ];
      const [a, b] = [await inOnePass(decoders[0]!, tinyTokens(20, 1), 20), await inOnePass(decoders[1]!, tinyTokens(20, 1), 20)];
      expect(a).toEqual(b);
      // One may read what the other stored.
      const cache = decoders[0]!.createCache();
      await decoders[0]!.prefill(tinyTokens(5, 1), cache, { want: 'argMax' });
      expect((await decoders[1]!.restoreCache(await cache.serialise())).tokensSeen).toBe(5);
      for (const decoder of decoders) decoder.dispose();
    }
  });

  it('with one KV head to share gives what the heads gave when they were the same', async () => {
    const config = tinyConfig('gemma2');
    const values = tinyValues(config, 5);
    for (const [name, array] of values) {
      if (!/[kv]_proj/.test(name)) continue;
      const head = array.length / 4;
      for (let i = 1; i < 4; i++) array.copyWithin(i * head, 0, head);
    }
    const logits = async (attention: string) => {
      const converted = convertModel(config, values, attention);
      const decoder = await createDecoder(converted.config, converted.values);
      const result = await inOnePass(decoder, tinyTokens(30, 1), 30);
      decoder.dispose();
      return result;
    };
    const whole = await logits('mha');
    for (const attention of ['gqa:4', 'mixsga:3:1:6', 'mixsga:1:1@2,4']) expect(distance(await logits(attention), whole)).toBeLessThan(1e-5);
    expect(distance(await logits('cla:2'), whole)).toBeGreaterThan(0.1);
  });

  it('of Gemma 2 sees no further than its window in a sliding layer, and all in the others', async () => {
    const logits = async (layerTypes: string[], first: number) => {
      const config = { ...tinyConfig('gemma2'), layer_types: layerTypes } as ReturnType<typeof tinyConfig>;
      const decoder = await createDecoder(config, tinyValues(config, 5));
      const tokens = tinyTokens(60, 1);
      tokens[0] = first;
      const cache = decoder.createCache();
      await decoder.prefill(tokens.subarray(0, 50), cache, { want: 'argMax' });
      const result = await feed(decoder, tokens.subarray(50), cache);
      decoder.dispose();
      return result;
    };
    // Four layers of a window of 11 reach 40 tokens back.
    const sliding = new Array<string>(4).fill('sliding_attention');
    expect(await logits(sliding, 1)).toEqual(await logits(sliding, 2));
    const mixed = ['sliding_attention', 'full_attention', 'sliding_attention', 'full_attention'];
    expect(distance(await logits(mixed, 1), await logits(mixed, 2))).toBeGreaterThan(1e-4);
  });

  it('of Gemma 2 evicts only where its window has every token', async () => {
    const decoder = await decoderOf('gemma2', 'mha');
    expect(() => decoder.createCache({ cache: 'h2o:0.5' })).toThrow(
      "createCache: expected at most 11 tokens, the model's sliding window, with the limit h2o:0.5, got 80; keep all tokens, or set maxTokens",
    );
    expect(() => decoder.createCache({ cache: 'oldest:1000000B' })).toThrow(
      "createCache: expected at most 11 tokens, the model's sliding window, with the limit oldest:1000000B, got 80; keep all tokens, or set maxTokens",
    );
    const cache = decoder.createCache({ cache: 'h2o:0.5', maxTokens: 11 });
    await decoder.prefill(tinyTokens(8, 1), cache, { want: 'argMax' });
    await feed(decoder, tinyTokens(3, 2), cache);
    expect(cache.tokensKept(0)).toBe(6);
    decoder.dispose();
  });

  it('names a parameter that is missing or of another size', async () => {
    const config = tinyConfig('llama');
    const values = tinyValues(config, 5);
    const without = new Map([...values].filter(([name]) => name !== 'model.layers.1.mlp.up_proj.weight'));
    await expect(createDecoder(config, without)).rejects.toThrow('expected a parameter model.layers.1.mlp.up_proj.weight, and there is none');
    const wrong = new Map([...values, ['model.norm.weight', new Float32Array(31)]] as const);
    await expect(createDecoder(config, wrong)).rejects.toThrow('model.norm.weight: expected shape [32], got 31 values; do config.json and weights belong');
    const leaks = await trackTensors(async () => void (await createDecoder(config, wrong).catch(() => undefined)));
    expect(leaks).toMatchObject({ tensors: 0, bytes: 0 });
  });
});
