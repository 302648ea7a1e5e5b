import { DeviceLostError, startBackend } from '@mixsga/backend';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Checkpoint, readCheckpoint } from '../checkpoints/checkpoint';
import { convertModel } from '../checkpoints/convert';
import { createDecoder } from '../decoder/create-decoder';
import { loadTokenizer, type Tokenizer } from '../tokenizers/tokenizer';
import { resolveModel } from '../zoo';
import type { Decoder } from './decoder';
import { generate, type GenerateOptions, generateText } from './generate';

const TEXTS = ['We the people of the United States, in order to form a more perfect', 'The', 'I am happy to report that'];
const BYTES = 4;
const LAYERS = 4;
const WIDTH = 128;

let checkpoint: Checkpoint;
let tokenizer: Tokenizer;
let prompts: number[][];

beforeAll(async () => {
  await startBackend('wasm');
  const { directory } = await resolveModel('sotu-mini');
  checkpoint = await readCheckpoint(directory);
  tokenizer = await loadTokenizer(directory);
  prompts = TEXTS.map((text) => tokenizer.encode(text));
});

const open = (attention: string): Promise<Decoder> => {
  const { config, values } = convertModel(checkpoint.config, checkpoint.values, attention, { routerSeed: 3 });
  return createDecoder(config, values, { weights: 'f32' });
};

async function tokensOf(decoder: Decoder, of: readonly number[][], options: GenerateOptions): Promise<number[][]> {
  const generation = generate(decoder, of, options);
  for await (const { sequence, token } of generation) expect(generation.tokens(sequence).at(-1)).toBe(token);
  return of.map((_, index) => generation.tokens(index));
}

describe.each(['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6'])('sotu-mini with %s', (attention) => {
  let decoder: Decoder;
  beforeAll(async () => {
    decoder = await open(attention);
  });
  afterAll(() => decoder.dispose());

  it.each<[string, GenerateOptions]>([
    ['at temperature 0', {}],
    ['drawn', { temperature: 0.8, topK: 50, topP: 0.95, repetitionPenalty: 1.1 }],
  ])('gives a batch of ragged prompts what each gets alone (%s)', async (_, options) => {
    const together = await tokensOf(decoder, prompts, { ...options, seed: 5, maxNewTokens: 30 });
    for (const [index, prompt] of prompts.entries()) {
      const [alone] = await tokensOf(decoder, [prompt], { ...options, seed: 5 + index, maxNewTokens: 30 });
      expect(alone).toEqual(together[index]);
    }
    expect(await tokensOf(decoder, prompts, { ...options, seed: 5, maxNewTokens: 30 })).toEqual(together);
  });

  it('decides what a small cache keeps of the context before it sees the rest of a prompt', async () => {
    const [prompt] = prompts;
    const [context, maxNewTokens, cache] = [prompt!.length - 4, 12, 'h2o:0.5'];
    const options = { cache, maxTokens: prompt!.length + maxNewTokens };
    const kept = decoder.createCache(options);
    let { argMax } = await decoder.prefill(Int32Array.from(prompt!.slice(0, context)), kept, { want: 'argMax' });
    const expected: number[] = [];
    for (const token of prompt!.slice(context)) ({ argMax } = await decoder.step(Int32Array.of(token), [kept], { want: 'argMax' }));
    while (expected.push(argMax![0]!) < maxNewTokens) ({ argMax } = await decoder.step(Int32Array.of(expected.at(-1)!), [kept], { want: 'argMax' }));
    kept.dispose();
    const alone = await tokensOf(decoder, [prompt!], { maxNewTokens, cache, contextTokens: [context] });
    expect(alone).toEqual([expected]);
    // Beside another sequence, too.
    expect((await tokensOf(decoder, [prompts[1]!, prompt!], { maxNewTokens, cache, contextTokens: [1, context] }))[1]).toEqual(expected);
  });

  it('continues from generated tokens to the same text', async () => {
    const whole = await tokensOf(decoder, prompts, { maxNewTokens: 40 });
    const generated = whole.map((tokens, index) => tokens.slice(0, [1, 17, 33][index]));
    expect(await tokensOf(decoder, prompts, { maxNewTokens: 40, generated })).toEqual(whole);
  });

  it('goes on to the same text on another decoder after a lost device', async () => {
    const whole = await tokensOf(decoder, prompts, { maxNewTokens: 20 });
    const failing = losing(decoder, 9);
    let recovered = 0;
    const recover = () => Promise.resolve((recovered++, decoder));
    expect(await tokensOf(failing, prompts, { maxNewTokens: 20, recover })).toEqual(whole);
    expect(recovered).toBe(1);
  });

  it('stops when aborted, and gives the memory back', async () => {
    const aborter = new AbortController();
    const generation = generate(decoder, prompts, { maxNewTokens: 100, signal: aborter.signal });
    let events = 0;
    const loop = async () => {
      for await (const { sequence } of generation) if (++events === 30) aborter.abort(new Error(`enough of ${sequence}`));
    };
    await expect(loop()).rejects.toThrow('enough of 2');
    expect(generation.stats()).toMatchObject({ newTokens: 30 });
    expect(await tokensOf(decoder, prompts, { maxNewTokens: 3 })).toEqual(prompts.map((_, index) => generation.tokens(index).slice(0, 3)));
  });

  it('gives the text that its tokens are', async () => {
    const { text, tokens } = await generateText(decoder, tokenizer, TEXTS[0]!, { maxNewTokens: 40 });
    expect(text).toBe(tokenizer.decode(tokens));
    const stop = text.slice(20, 25);
    const stopped = await generateText(decoder, tokenizer, TEXTS[0]!, { maxNewTokens: 40, stopStrings: [stop] });
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(stopped.finish).toBe('stop');
  });
});

describe('stats of sotu-mini', () => {
  /** Bytes of the keys and values of a token in a layer that stores 1 / size of the heads. */
  const tokenBytes = (size: number) => (2 * WIDTH * BYTES) / size;

  it.each([
    ['mha', LAYERS * tokenBytes(1)],
    ['gqa:2', LAYERS * tokenBytes(2)],
    ['cla:2', (LAYERS / 2) * tokenBytes(1)],
  ])('count the bytes of %s exactly', async (attention, bytesPerToken) => {
    const decoder = await open(attention);
    const { stats } = await generateText(decoder, tokenizer, TEXTS[0]!, { maxNewTokens: 25 });
    expect(stats.tokensSeen).toBe(prompts[0]!.length + 24);
    expect(stats.kvBytesUsed).toBe(stats.tokensSeen * bytesPerToken);
    expect(stats.kvBytesAllocated).toBeGreaterThanOrEqual(stats.kvBytesUsed);
    decoder.dispose();
  });

  it('count the experts: of the prompt in the asked ratios, then as they come', async () => {
    const decoder = await open('mixsga:3:1:6');
    const generation = generate(decoder, [prompts[0]!], { maxNewTokens: 25 });
    const length = prompts[0]!.length;
    const counts: number[][] = [];
    for await (const { sequence } of generation) counts.push([...generation.stats().expertCounts, sequence]);
    const first = Math.ceil(0.3 * length);
    const second = Math.ceil(0.1 * length);
    expect(counts[0]).toEqual([LAYERS * first, LAYERS * second, LAYERS * (length - first - second), 0]);
    const { expertCounts, tokensSeen, kvBytesUsed } = generation.stats();
    expect(tokensSeen).toBe(length + 24);
    expect(expertCounts.reduce((sum, count) => sum + count)).toBe(LAYERS * tokensSeen);
    const [one, two, four] = expertCounts;
    const index = LAYERS * Math.ceil((2 * tokensSeen) / 8);
    expect(kvBytesUsed).toBe(one! * tokenBytes(1) + two! * tokenBytes(2) + four! * tokenBytes(4) + index);
    decoder.dispose();
  });

  it('count what eviction keeps', async () => {
    const decoder = await open('mixsga:3:1:6');
    for (const cache of ['h2o:0.5', 'nacl:0.5', 'window:0.5']) {
      const { stats } = await generateText(decoder, tokenizer, TEXTS[0]!, { maxNewTokens: 40, cache });
      const kept = Math.ceil((prompts[0]!.length + 40) / 2);
      expect(stats).toMatchObject({ tokensSeen: prompts[0]!.length + 39, tokensKept: kept });
      expect(stats.expertCounts.reduce((sum, count) => sum + count)).toBe(LAYERS * kept);
    }
    decoder.dispose();
  });
});

/** A decoder whose device is lost at a step. */
function losing(decoder: Decoder, step: number): Decoder {
  let steps = 0;
  return new Proxy(decoder, {
    get(target, key) {
      if (key === 'step' && steps++ === step) throw new DeviceLostError('lost');
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
