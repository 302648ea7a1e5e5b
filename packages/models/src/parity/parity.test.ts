// Every family, and what is peculiar to each, against Hugging Face transformers: see tools/make_parity_fixtures.py.
import { type BackendName, describeBackends, startBackend } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import { describe, expect, it } from 'vitest';
import type { Decoder } from '../generation/decoder';
import { distance } from '../testing/decoding';
import { EVERY, fixtures, type FixtureName, readFixture } from './fixture';
import { observedDecoder } from './observed-decoder';
import { sample, variants } from './variants';

/** ‖a − b‖ / ‖b‖ of a row, at most. */
const TOLERANCE = 1e-4;

/** Takes a token into each of some caches; the logits after it, by cache. */
async function step(decoder: Decoder, tokens: readonly number[], caches: readonly KvCache[]): Promise<Float32Array[]> {
  const { logits: values } = await decoder.step(Int32Array.from(tokens), caches, { want: 'logits' });
  return tokens.map((_, row) => values!.slice(row * decoder.vocabularySize, (row + 1) * decoder.vocabularySize));
}

/** The likeliest tokens after a prompt, one by one, and the experts of all tokens by layer. */
async function continueGreedily(decoder: Decoder, prompt: readonly number[], count: number, layers: number) {
  const cache = decoder.createCache();
  const tokens = [(await decoder.prefill(Int32Array.from(prompt), cache, { want: 'argMax' })).argMax![0]!];
  while (tokens.length < count) {
    tokens.push((await decoder.step(Int32Array.of(tokens.at(-1)!), [cache], { want: 'argMax' })).argMax![0]!);
  }
  const experts = Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: cache.tokensSeen }, (_, token) => cache.expertOf(layer, token)),
  );
  cache.dispose();
  return { tokens, experts };
}

/** A cache that some tokens are in. */
async function filledCache(decoder: Decoder, tokens: readonly number[]): Promise<KvCache> {
  const cache = decoder.createCache();
  if (tokens.length > 0) await decoder.prefill(Int32Array.from(tokens), cache, { want: 'argMax' });
  return cache;
}

const backends = (await describeBackends()).filter(({ available }) => available).map(({ name }) => name);

describe.each(backends)('on %s', (backend: BackendName) => {
  // Where a CPU plays the GPU, steps are slow: a sample of them.
  const software = backend === 'webgpu';
  const tried = software ? sample : { fixtures, variants };
  // Every step on the fastest alone.
  const slow = backend !== 'wasm';

  it.each(tried.fixtures)('%s has the hidden states and logits of the reference, in one pass and token by token', async (name) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const logits = await fixture.reference('logits');
    const layers = fixture.config.num_hidden_layers as number;
    const hidden = await Promise.all(Array.from({ length: layers }, (_, layer) => fixture.reference(`hidden.${layer}`)));
    const { decoder, hidden: seen } = await observedDecoder(fixture);
    const tokens = [...fixture.golden.prompt, ...fixture.golden.greedy];

    const whole = decoder.createCache();
    const { logits: values } = await decoder.prefill(Int32Array.from(tokens), whole, { want: 'logits' });
    expect(distance(values!, logits.at(-1)!)).toBeLessThan(TOLERANCE);
    for (const [layer, output] of (await seen()).entries()) {
      const width = output.length / tokens.length;
      hidden[layer]!.forEach((expected, i) => {
        const row = EVERY * (i + 1) - 1;
        expect(distance(output.subarray(row * width, (row + 1) * width), expected), `layer ${layer}, token ${row}`).toBeLessThan(TOLERANCE);
      });
    }

    const first = slow ? tokens.length - 6 : 0;
    const stepped = await filledCache(decoder, tokens.slice(0, first));
    await seen();
    for (const [position, token] of tokens.entries()) {
      if (position < first) continue;
      const [after] = await step(decoder, [token], [stepped]);
      for (const [layer, output] of (await seen()).entries()) {
        if ((position + 1) % EVERY !== 0) continue;
        const expected = hidden[layer]![(position + 1) / EVERY - 1]!;
        expect(distance(output, expected), `layer ${layer}, token ${position}`).toBeLessThan(TOLERANCE);
      }
      expect(distance(after!, logits[position]!), `logits after token ${position}`).toBeLessThan(TOLERANCE);
    }
    decoder.dispose();
  });

  // Those with routers continue below too.
  const continued = tried.fixtures.filter((name) => !software || !variants.some(([other]) => other === name));
  it.each(continued)('%s continues as the reference does', async (name) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const { prompt, greedy } = fixture.golden;
    const { decoder, hidden } = await observedDecoder(fixture);
    expect((await continueGreedily(decoder, prompt, greedy.length, 0)).tokens).toEqual(greedy);
    await hidden();
    decoder.dispose();
  });

  it.each(tried.variants)('%s under %s has the logits, experts and tokens of the reference', async (name, attention) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const { prompt } = fixture.golden;
    const { greedy, experts } = fixture.golden.variants![attention]!;
    const { decoder, hidden } = await observedDecoder(fixture, attention);
    const continued = await continueGreedily(decoder, prompt, greedy.length, experts?.length ?? 0);
    expect(continued.tokens).toEqual(greedy);
    // The last token is not in the cache.
    if (experts) expect(continued.experts).toEqual(experts.map((layer) => layer.slice(0, -1)));

    const prefill = await fixture.reference(`${attention}/prefill`);
    const cache = decoder.createCache();
    const { logits: values } = await decoder.prefill(Int32Array.from(prompt), cache, { want: 'logits' });
    expect(distance(values!, prefill[0]!)).toBeLessThan(TOLERANCE);
    for (const [i, token] of greedy.slice(0, slow ? 4 : undefined).entries()) {
      const [after] = await step(decoder, [token], [cache]);
      expect(distance(after!, prefill[i + 1]!), `after ${i + 1} tokens`).toBeLessThan(TOLERANCE);
    }

    const decode = await fixture.reference(`${attention}/decode`);
    const alone = decoder.createCache();
    for (const [position, token] of [...prompt, ...greedy].slice(0, slow ? EVERY : undefined).entries()) {
      const [after] = await step(decoder, [token], [alone]);
      if ((position + 1) % EVERY !== 0) continue;
      expect(distance(after!, decode[(position + 1) / EVERY - 1]!), `token ${position}`).toBeLessThan(TOLERANCE);
    }
    await hidden();
    decoder.dispose();
  });

  it('decodes a short text beside a longer one as the reference does with padding on the left', async () => {
    await startBackend(backend);
    const fixture = await readFixture('opt');
    const long = [...fixture.golden.prompt, ...fixture.golden.greedy];
    const short = fixture.golden.padded!;
    const [ofLong, ofShort] = [await fixture.reference('logits'), await fixture.reference('padded')];
    const { decoder, hidden } = await observedDecoder(fixture);
    const padding = long.length - short.length;
    const caches = [await filledCache(decoder, long.slice(0, padding)), decoder.createCache()];
    for (const [i, token] of short.slice(0, slow ? 4 : undefined).entries()) {
      const [first, second] = await step(decoder, [long[padding + i]!, token], caches);
      expect(distance(first!, ofLong[padding + i]!)).toBeLessThan(TOLERANCE);
      expect(distance(second!, ofShort[i]!)).toBeLessThan(TOLERANCE);
    }
    await hidden();
    decoder.dispose();
  });

  it.each([
    ['rope_scaling with type', ({ rope_type, ...scaling }: RopeScaling) => ({ rope_scaling: { type: rope_type, ...scaling } })],
    ['rope_parameters', (scaling: RopeScaling, rope_theta: unknown) => ({
      rope_scaling: undefined, rope_theta: undefined, rope_parameters: { rope_theta, ...scaling },
    })],
  ])('llama-3 takes %s as another spelling', async (_, spell) => {
    await startBackend(backend);
    const fixture = await readFixture('llama-3');
    const { rope_scaling: scaling, rope_theta: theta } = fixture.config;
    const { decoder, hidden } = await observedDecoder(fixture, 'mha', { changes: spell(scaling as RopeScaling, theta) });
    const { prompt } = fixture.golden;
    const { logits: values } = await decoder.prefill(Int32Array.from(prompt), decoder.createCache(), { want: 'logits' });
    expect(distance(values!, (await fixture.reference('logits'))[prompt.length - 1]!)).toBeLessThan(TOLERANCE);
    await hidden();
    decoder.dispose();
  });
});

it.each<[FixtureName, object]>([
  ['opt-post-norm', { do_layer_norm_before: true, _remove_final_layer_norm: true }],
  ['llama', { rope_theta: 100 }],
  ['llama-3', { rope_scaling: undefined }],
  ['gemma2', { attn_logit_softcapping: null }],
  ['gemma2', { final_logit_softcapping: null }],
  ['gemma2', { sliding_window: 4096 }],
  ['gemma2', { query_pre_attn_scalar: 8 }],
  ['gemma3', { rope_local_base_freq: 1_000_000 }],
  ['gemma3', { rope_scaling: null }],
  ['gemma3', { sliding_window_pattern: 2 }],
  ['qwen3-window', { sliding_window: 4096 }],
  ['olmo2', { rope_theta: 100 }],
])('%s with %o is another model', async (name, changes) => {
  await startBackend('wasm');
  const fixture = await readFixture(name);
  const { prompt } = fixture.golden;
  const { decoder, hidden } = await observedDecoder(fixture, 'mha', { changes });
  const { logits: values } = await decoder.prefill(Int32Array.from(prompt), decoder.createCache(), { want: 'logits' });
  expect(distance(values!, (await fixture.reference('logits'))[prompt.length - 1]!)).toBeGreaterThan(1e-2);
  await hidden();
  decoder.dispose();
});

interface RopeScaling {
  readonly rope_type: string;
}
