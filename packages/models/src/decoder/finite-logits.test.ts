// NaN and infinity in weights or logits are errors, never an answer.
import { BackendError, startBackend, type BackendName } from '@mixsga/backend';
import { beforeAll, describe, expect, test } from 'vitest';
import { createDecoder, createTrainable, generate } from '../index';
import { allFinite } from '../io/finite-source';
import { tinyConfig, tinyTokens, tinyValues } from '../testing/tiny-models';

const config = tinyConfig('opt', 'mixsga:1:1:2');
const BAD_TOKEN = 7;

/** A model whose layer 1 overflows. */
function overflowing() {
  const values = tinyValues(config, 3);
  values.get('model.decoder.layers.1.fc2.weight')!.fill(3e38);
  return createDecoder(config, values);
}

/** A model whose layer 0 overflows at one token. */
function overflowingAt(token: number) {
  const config = tinyConfig('llama with biases, scaled positions and a head of its own', 'mixsga:1:1:2');
  const values = tinyValues(config, 3);
  values.get('model.embed_tokens.weight')![32 * token] = 3e38;
  values.get('model.layers.0.self_attn.o_proj.bias')![0] = 1e38;
  return createDecoder(config, values);
}

describe('weights', () => {
  beforeAll(() => startBackend('wasm'));

  test.each([
    ['model.decoder.embed_tokens.weight', NaN], ['model.decoder.layers.2.self_attn.k_proj.weight', Infinity],
    ['model.decoder.layers.0.self_attn_layer_norm.bias', -Infinity], ['model.decoder.final_layer_norm.weight', NaN],
  ])('%s with %d is refused by name, for generation and training', async (name, bad) => {
    for (const index of [0, 5, tinyValues(config, 1).get(name)!.length - 1]) {
      const values = tinyValues(config, 1);
      values.get(name)![index] = bad;
      const message = `${name}: expected finite weights, got ${bad} at index ${index} of ${values.get(name)!.length}`;
      await expect(createDecoder(config, values)).rejects.toThrow(message);
      await expect(createTrainable(config, values)).rejects.toThrow(message);
    }
  });

  test('the largest float32 is finite, each of the others at any place is not', () => {
    for (let length = 0; length < 9; length++) {
      expect(allFinite(new Float32Array(length).fill(3.4028234e38))).toBe(true);
      for (let i = 0; i < length; i++) {
        for (const bad of [NaN, Infinity, -Infinity]) expect(allFinite(new Float32Array(length).with(i, bad))).toBe(false);
      }
    }
  });
});

describe.each(['wasm', 'cpu'] satisfies BackendName[])('logits on %s', (backend) => {
  beforeAll(() => startBackend(backend));
  const tokens = tinyTokens(6, 2);

  test.each(['argMax', 'logits'] as const)('prefill and step name the layer and the token, for %s', async (want) => {
    const decoder = await overflowing();
    const caches = [decoder.createCache(), decoder.createCache()];
    await expect(decoder.prefill(tokens, caches[0]!, { want })).rejects.toThrow(
      'prefill: expected finite logits, got NaN or infinite ones, which begin in layer 1 at token 0; check whether the weights and config.json are damaged',
    );
    await expect(decoder.step(Int32Array.of(1, 2), caches, { want })).rejects.toThrow('step: expected finite logits, got NaN or infinite ones, which begin in layer 1 at token 0 of sequence 0');
    decoder.dispose();
  });

  test('the token is that which has them, and a failed step leaves caches as they were', async () => {
    const decoder = await overflowingAt(BAD_TOKEN);
    const text = Int32Array.of(1, 2, 3, 4);
    const caches = [decoder.createCache(), decoder.createCache()];
    for (const cache of caches) await decoder.prefill(text, cache, { want: 'argMax' });
    const expected = await decoder.likelihood(Int32Array.of(1, 2, 3, 4, 9), Int32Array.of(2, 3, 4, 9, 1), { routing: 'decode' });
    await expect(decoder.step(Int32Array.of(9, BAD_TOKEN), caches, { want: 'argMax' })).rejects.toThrow(/begin in layer 0 at token 4 of sequence 1/);
    await expect(decoder.prefill(Int32Array.of(1, 2, BAD_TOKEN), decoder.createCache(), { want: 'argMax' })).rejects.toThrow('in layer 0 at token 2');
    await expect(decoder.likelihood(Int32Array.of(1, BAD_TOKEN), Int32Array.of(1, 1), { routing: 'prefill' })).rejects.toThrow(BackendError);
    expect(caches.map(({ tokensSeen }) => tokensSeen)).toEqual([4, 4]);
    await decoder.step(Int32Array.of(9, 9), caches, { want: 'argMax' });
    expect(await decoder.likelihood(Int32Array.of(1, 2, 3, 4, 9), Int32Array.of(2, 3, 4, 9, 1), { routing: 'decode' })).toEqual(expected);
    decoder.dispose();
  });

  test('greedy and sampled generation fail alike', async () => {
    const decoder = await overflowing();
    for (const temperature of [0, 1]) {
      const run = generate(decoder, [tokens], { maxNewTokens: 2, temperature })[Symbol.asyncIterator]();
      await expect(run.next()).rejects.toThrow('prefill: expected finite logits, got NaN or infinite ones, which begin in layer 1');
    }
    decoder.dispose();
  });

  test('a head that overflows is named', async () => {
    const values = tinyValues(config, 3);
    values.get('model.decoder.final_layer_norm.weight')!.fill(3e38);
    const decoder = await createDecoder(config, values);
    await expect(decoder.prefill(tokens, decoder.createCache(), { want: 'argMax' })).rejects.toThrow('which begin in the output head; check');
    decoder.dispose();
  });
});
