import { ArgumentError, DeviceLostError, SeededRandom } from '@mixsga/backend';
import { beforeEach, describe, expect, it } from 'vitest';
import json from '../fixtures/tokenizer.json';
import { createTokenizer } from '../tokenizers/tokenizer';
import { type GenerateOptions, generate, generateText, type Generation, type GenerationEvent } from './generate';
import { ToyDecoder } from './testing/toy-decoder';

const VOCABULARY = 24;
const PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [9], [3, 3, 20]];
const random = new SeededRandom(11);
const table = Array.from({ length: VOCABULARY }, () => Array.from({ length: VOCABULARY }, () => random.normal()));
/** Token t is a letter. */
const tokenizer = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => String.fromCharCode(97 + id)).join('') };
const textOf = (tokens: readonly number[]) => tokenizer.decode(tokens);

let decoder: ToyDecoder;
beforeEach(() => {
  decoder = new ToyDecoder(table);
});

async function eventsOf(generation: Generation): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = [];
  for await (const event of generation) events.push(event);
  return events;
}

/** The tokens of each sequence by the plain algorithm: the likeliest token, one by one. */
function greedy(prompt: readonly number[], count: number): number[] {
  const text = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = decoder.logits(text.at(-1)!, text.length);
    text.push(logits.indexOf(Math.max(...logits)));
  }
  return text.slice(prompt.length);
}

async function tokensOf(prompts: readonly number[][], options: GenerateOptions): Promise<number[][]> {
  const generation = generate(decoder, prompts, options);
  const events = await eventsOf(generation);
  return prompts.map((_, index) => {
    const tokens = events.filter(({ sequence }) => sequence === index).map(({ token }) => token);
    expect([...(options.generated?.[index] ? Array.from(options.generated[index]) : []), ...tokens]).toEqual(generation.tokens(index));
    return tokens;
  });
}

function expectNoCaches(of = decoder): void {
  expect(of.caches.length).toBeGreaterThan(0);
  for (const cache of of.caches) expect(() => cache.bytes()).toThrow('this cache is disposed');
}

describe('generate', () => {
  it('gives the likeliest tokens of each sequence, and reads nothing but them', async () => {
    const tokens = await tokensOf(PROMPTS, { maxNewTokens: 10 });
    expect(tokens).toEqual(PROMPTS.map((prompt) => greedy(prompt, 10)));
    expect(decoder.calls).toHaveLength(3 + 9);
    expect(new Set(decoder.calls.map(({ want }) => want))).toEqual(new Set(['argMax']));
    expectNoCaches();
  });

  it('shows each cache after every pass, before the events of the pass', async () => {
    const seen: string[] = [];
    const onPass: GenerateOptions['onPass'] = (sequence, cache) => {
      const last = cache.tokensSeen - 1;
      seen.push(`${sequence}: ${cache.tokensSeen} tokens, the last with expert ${cache.expertOf(0, last)}`);
    };
    for await (const { sequence, token } of generate(decoder, [[1, 2, 3], [9]], { maxNewTokens: 2, onPass })) seen.push(`${sequence}: ${token}`);
    const [first, second] = [greedy([1, 2, 3], 2), greedy([9], 2)];
    expect(seen).toEqual([
      '0: 3 tokens, the last with expert 1', `0: ${first[0]}`,
      '1: 1 tokens, the last with expert 1', `1: ${second[0]}`,
      `0: 4 tokens, the last with expert ${first[0]! % 2}`, `1: 2 tokens, the last with expert ${second[0]! % 2}`,
      `0: ${first[1]}`, `1: ${second[1]}`,
    ]);
  });

  it('takes each prompt in alone, then all sequences on together', async () => {
    const generation = generate(decoder, PROMPTS, { maxNewTokens: 3 });
    const events = await eventsOf(generation);
    expect(events.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(events.map(({ finish }) => finish)).toEqual([...Array<null>(6).fill(null), 'length', 'length', 'length']);
    const [first, second] = [0, 1].map((step) => PROMPTS.map((_, index) => generation.tokens(index)[step]!));
    expect(decoder.calls).toEqual([
      ...PROMPTS.map((tokens) => ({ kind: 'prefill', want: 'argMax', tokens, prompt: tokens.length })),
      { kind: 'step', want: 'argMax', tokens: first },
      { kind: 'step', want: 'argMax', tokens: second },
    ]);
  });

  it('takes the context of a prompt in first, and the rest of it one by one', async () => {
    const passes: number[] = [];
    const tokens = await tokensOf(PROMPTS, { maxNewTokens: 2, contextTokens: [4, 1, 1], onPass: (_, cache) => passes.push(cache.tokensSeen) });
    expect(tokens).toEqual(PROMPTS.map((prompt) => greedy(prompt, 2)));
    const step = (token: number) => ({ kind: 'step', want: 'argMax', tokens: [token] });
    expect(decoder.calls.slice(0, -1)).toEqual([
      { kind: 'prefill', want: 'argMax', tokens: [1, 2, 3, 4], prompt: 4 }, step(5), step(6), step(7),
      { kind: 'prefill', want: 'argMax', tokens: [9], prompt: 1 },
      { kind: 'prefill', want: 'argMax', tokens: [3], prompt: 1 }, step(3), step(20),
    ]);
    expect(passes).toEqual([7, 1, 3, 8, 2, 4]);
    const whole = await tokensOf([PROMPTS[0]!], { maxNewTokens: 6 });
    const generated = [whole[0]!.slice(0, 3)];
    expect(await tokensOf([PROMPTS[0]!], { maxNewTokens: 6, contextTokens: [4], generated })).toEqual([whole[0]!.slice(3)]);
    expect(await tokensOf([PROMPTS[0]!], { maxNewTokens: 6, contextTokens: [7], generated })).toEqual([whole[0]!.slice(3)]);
  });

  it.each<[string, GenerateOptions]>([
    ['at temperature 0', { repetitionPenalty: 1.5 }],
    ['drawn', { temperature: 1, topK: 12, topP: 0.95, noRepeatNgramSize: 2 }],
  ])('gives a batch what each sequence gets alone (%s)', async (_, options) => {
    const together = await tokensOf(PROMPTS, { ...options, seed: 4, maxNewTokens: 20 });
    for (const [index, prompt] of PROMPTS.entries()) {
      expect(await tokensOf([prompt], { ...options, seed: 4 + index, maxNewTokens: 20 })).toEqual([together[index]]);
    }
    expect(decoder.calls.every(({ want }) => want === 'logits')).toBe(true);
  });

  it('repeats with a seed, and differs with another', async () => {
    const draw = (seed: number) => tokensOf([[1, 2], [1, 2]], { temperature: 1, seed, maxNewTokens: 20 });
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
    expect((await draw(2))[0]).toEqual(first[1]);
    expect((await draw(3))[0]).not.toEqual(first[0]);
  });

  it('draws from seeds of prompts, wherever in a batch they are', async () => {
    const draw = (order: number[]) =>
      tokensOf(order.map((i) => PROMPTS[i]!), { temperature: 1, seeds: order.map((i) => 70 + 10 * i), maxNewTokens: 20 });
    const together = await draw([0, 1, 2]);
    expect(await draw([2, 0])).toEqual([together[2], together[0]]);
    expect(await tokensOf([PROMPTS[1]!], { temperature: 1, seed: 80, maxNewTokens: 20 })).toEqual([together[1]]);
    expect(await tokensOf([[9], [9]], { temperature: 1, seeds: [80, 80], maxNewTokens: 20 })).toEqual([together[1], together[1]]);
  });

  it('fills the context length where no limit is given', async () => {
    const tokens = await tokensOf([[1], [1, 2, 3]], {});
    expect(tokens.map(({ length }) => length)).toEqual([63, 61]);
  });

  it('runs through once', async () => {
    const generation = generate(decoder, [[1]], { maxNewTokens: 1 });
    await eventsOf(generation);
    await expect(eventsOf(generation)).rejects.toThrow('generate: expected to be run through once; call generate again');
  });
});

describe('the end of a sequence', () => {
  it('comes with a stop token, and the others go on without it', async () => {
    const expected = PROMPTS.map((prompt) => greedy(prompt, 12));
    const eos = expected[1]![3]!;
    const generation = generate(decoder, PROMPTS, { maxNewTokens: 12, stopTokens: [eos], tokenizer });
    const events = await eventsOf(generation);
    for (const [index, tokens] of expected.entries()) {
      const own = events.filter(({ sequence }) => sequence === index);
      const end = tokens.indexOf(eos);
      const kept = end < 0 ? tokens : tokens.slice(0, end);
      expect(own.map(({ token }) => token)).toEqual(end < 0 ? tokens : tokens.slice(0, end + 1));
      expect(own.map(({ text }) => text).join('')).toBe(textOf(kept));
      expect(own.at(-1)!.finish).toBe(end < 0 ? 'length' : 'eos');
      expect(own.slice(0, -1).every(({ finish }) => finish === null)).toBe(true);
    }
    const sizes = decoder.calls.filter(({ kind }) => kind === 'step').map(({ tokens }) => tokens.length);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(sizes.at(-1)).toBeLessThan(3);
    expectNoCaches();
  });

  it('comes with a stop string, which is not in the text', async () => {
    const tokens = greedy([9], 12);
    const stop = textOf(tokens.slice(5, 8));
    expect(textOf(tokens).indexOf(stop)).toBe(5);
    const events = await eventsOf(generate(decoder, [[9]], { maxNewTokens: 12, stopStrings: ['#', stop], tokenizer }));
    expect(events.map(({ token }) => token)).toEqual(tokens.slice(0, 8));
    expect(events.map(({ text }) => text).join('')).toBe(textOf(tokens.slice(0, 5)));
    expect(events.at(-1)).toMatchObject({ finish: 'stop', text: '' });
  });

  it('gives what may have been a stop string', async () => {
    const text = textOf(greedy([9], 6));
    const stopStrings = [`${text.slice(-2)}#`];
    const events = await eventsOf(generate(decoder, [[9]], { maxNewTokens: 6, stopStrings, tokenizer }));
    expect(events.map((event) => event.text).join('')).toBe(text);
    expect(events.at(-1)!.text.length).toBeGreaterThanOrEqual(2);
  });

  it.each(['break', 'error'])('frees the caches (%s of the loop)', async (how) => {
    const loop = async () => {
      for await (const { sequence } of generate(decoder, PROMPTS, { maxNewTokens: 12 })) {
        if (sequence === 2 && how === 'break') break;
        if (sequence === 2) throw new Error('of the loop');
      }
    };
    await (how === 'break' ? loop() : expect(loop()).rejects.toThrow('of the loop'));
    expect(decoder.caches).toHaveLength(3);
    expectNoCaches();
  });

  it('comes with an error of the decoder', async () => {
    decoder.failures.set(5, new Error('out of memory'));
    const generation = generate(decoder, PROMPTS, { maxNewTokens: 12 });
    await expect(eventsOf(generation)).rejects.toThrow('out of memory');
    expect(PROMPTS.map((_, index) => generation.tokens(index))).toEqual(PROMPTS.map((prompt) => greedy(prompt, 3)));
    expectNoCaches();
  });

  it('comes with the signal, with its reason', async () => {
    const aborter = new AbortController();
    const reason = new Error('enough');
    const generation = generate(decoder, PROMPTS, { maxNewTokens: 12, signal: aborter.signal });
    const loop = async () => {
      for await (const { sequence } of generation) if (sequence === 1) aborter.abort(reason);
    };
    await expect(loop()).rejects.toBe(reason);
    expect(decoder.calls).toHaveLength(2);
    expect(generation.tokens(1)).toEqual(greedy([9], 1));
    expectNoCaches();

    const before = decoder.calls.length;
    await expect(eventsOf(generate(decoder, PROMPTS, { signal: aborter.signal }))).rejects.toBe(reason);
    expect(decoder.calls).toHaveLength(before);
  });

  it('comes with a timer, though the decoder never waits', async () => {
    const endless = new ToyDecoder(table, 30_000);
    await expect(eventsOf(generate(endless, [[1]], { signal: AbortSignal.timeout(10) }))).rejects.toThrow('timeout');
  });
});

describe('a generation goes on', () => {
  it.each<[string, GenerateOptions]>([
    ['at temperature 0', {}],
    ['drawn', { temperature: 1, seed: 3, repetitionPenalty: 1.2 }],
  ])('from the tokens of another (%s)', async (_, options) => {
    const whole = await tokensOf(PROMPTS, { ...options, maxNewTokens: 12 });
    const generated = whole.map((tokens, index) => tokens.slice(0, [5, 0, 11][index]));
    decoder.calls.length = 0;
    const rest = await tokensOf(PROMPTS, { ...options, maxNewTokens: 12, generated });
    expect(rest).toEqual(whole.map((tokens, index) => tokens.slice(generated[index]!.length)));
    expect(decoder.calls.slice(0, 3).map(({ tokens, prompt }) => [tokens, prompt])).toEqual(
      PROMPTS.map((prompt, index) => [[...prompt, ...generated[index]!], prompt.length]),
    );
  });

  it('in the middle of a stop string, and not where it has ended', async () => {
    const tokens = greedy([9], 12);
    const options = { maxNewTokens: 12, stopStrings: [textOf(tokens.slice(5, 8))], tokenizer };
    const rest = await eventsOf(generate(decoder, [[9]], { ...options, generated: [tokens.slice(0, 7)] }));
    expect(rest).toEqual([{ sequence: 0, token: tokens[7], text: '', finish: 'stop' }]);
    for (const ended of [tokens.slice(0, 8), tokens]) {
      expect(await eventsOf(generate(decoder, [[9]], { ...options, generated: [ended] }))).toEqual([]);
    }
  });

  it('on another decoder when the device is lost', async () => {
    const whole = await eventsOf(generate(decoder, PROMPTS, { maxNewTokens: 12, temperature: 1, tokenizer, stopStrings: ['#'] }));
    const decoders = [new ToyDecoder(table), new ToyDecoder(table), new ToyDecoder(table)];
    decoders[0]!.failures.set(1, new DeviceLostError('lost in prefill'));
    decoders[1]!.failures.set(7, new DeviceLostError('lost in a step'));
    const lost: string[] = [];
    const generation = generate(decoders[0]!, PROMPTS, {
      maxNewTokens: 12,
      temperature: 1,
      tokenizer,
      stopStrings: ['#'],
      recover: (error) => Promise.resolve(decoders[lost.push(error.message)]!),
    });
    const events = await eventsOf(generation);
    for (const index of [0, 1, 2]) {
      const own = (event: GenerationEvent) => event.sequence === index;
      expect(events.filter(own)).toEqual(whole.filter(own));
    }
    expect(lost).toEqual(['lost in prefill', 'lost in a step']);
    for (const each of decoders) expectNoCaches(each);
    expect(generation.stats()).toMatchObject({ newTokens: 36, tokensSeen: 11 + 36 - 3 });
  });

  it('at most 3 times', async () => {
    const generation = generate(decoder, [[9]], {
      maxNewTokens: 12,
      recover: () => {
        decoder.failures.set(decoder.calls.length + 1, new DeviceLostError('again'));
        return Promise.resolve(decoder);
      },
    });
    decoder.failures.set(2, new DeviceLostError('first'));
    await expect(eventsOf(generation)).rejects.toThrow('again');
    // 2 tokens before the first loss, and 1 in each of the three tries after it.
    expect(generation.tokens(0)).toEqual(greedy([9], 5));
  });

  it('only after a lost device, and only when asked to', async () => {
    decoder.failures.set(2, new DeviceLostError('lost'));
    await expect(eventsOf(generate(decoder, [[9]], {}))).rejects.toThrow(DeviceLostError);
    decoder.failures.set(decoder.calls.length + 2, new Error('other'));
    const recover = () => Promise.resolve(decoder);
    await expect(eventsOf(generate(decoder, [[9]], { recover }))).rejects.toThrow('other');
    expectNoCaches();
  });
});

describe('stats', () => {
  it('count what went through, and the bytes of the caches', async () => {
    const generation = generate(decoder, PROMPTS, { maxNewTokens: 6 });
    expect(generation.stats()).toEqual({
      promptTokens: 11, newTokens: 0, prefillTokensPerSecond: null, tokensPerSecond: null,
      tokensSeen: 0, tokensKept: 0, kvBytesUsed: 0, kvBytesAllocated: 0, expertCounts: [],
    });
    await eventsOf(generation);
    const { prefillTokensPerSecond, tokensPerSecond, kvBytesAllocated, ...stats } = generation.stats();
    expect(prefillTokensPerSecond).toBeGreaterThan(0);
    expect(tokensPerSecond).toBeGreaterThan(0);
    const cached = PROMPTS.flatMap((prompt) => [...prompt, ...greedy(prompt, 5)]);
    const odd = cached.filter((token) => token % 2).length;
    const even = cached.length - odd;
    expect(stats).toMatchObject({
      promptTokens: 11, newTokens: 18, tokensSeen: 26, tokensKept: 26, expertCounts: [2 * even, 2 * odd],
    });
    // Keys and values of 4 numbers of 4 bytes for each of 2 heads or of 1, and 1 bit that names the expert; 2 layers.
    const index = PROMPTS.reduce((sum, prompt) => sum + Math.ceil((prompt.length + 5) / 8), 0);
    expect(stats.kvBytesUsed).toBe(2 * (2 * 4 * 4 * (2 * even + odd) + index));
    expect(kvBytesAllocated).toBeGreaterThanOrEqual(stats.kvBytesUsed);
  });

  it('are those of the living caches in the middle', async () => {
    const generation = generate(decoder, [[1, 2, 3]], { maxNewTokens: 4 });
    const seen: number[] = [];
    for await (const event of generation) seen.push(generation.stats().tokensSeen + event.sequence);
    expect(seen).toEqual([3, 4, 5, 6]);
  });

  it('count what the eviction policy keeps of the length that there can be', async () => {
    const generation = generate(decoder, [[1, 2, 3], [1]], { maxNewTokens: 13, cache: 'window:0.5' });
    await eventsOf(generation);
    // ⌈0.5 · 16⌉ of 15 tokens, and ⌈0.5 · 14⌉ of 13.
    expect(generation.stats()).toMatchObject({ tokensSeen: 28, tokensKept: 15 });
    expect(() => generate(decoder, [[1]], { cache: 'h20:0.5' })).toThrow(/^cache: expected .*got "h20:0.5"/);
  });
});

describe('generateText', () => {
  it('gives the text after a prompt', async () => {
    const real = createTokenizer(json);
    const size = real.vocabularySize;
    const rows = Array.from({ length: size }, () => Array.from({ length: size }, () => random.normal()));
    const big = new ToyDecoder(rows);
    const { text, tokens, finish, stats } = await generateText(big, real, 'We the people', { maxNewTokens: 30, temperature: 1 });
    expect(tokens).toHaveLength(30);
    expect(text).toBe(real.decode(tokens, { skipSpecialTokens: true }));
    expect(finish).toBe('length');
    const ids = real.encode('We the people');
    expect(ids[0]).toBe(2); // BOS
    expect(big.calls[0]!.tokens).toEqual(ids);
    expect(stats).toMatchObject({ promptTokens: ids.length, newTokens: 30 });
    big.dispose();
  });
});

describe('bad input is refused before any work', () => {
  it.each<[string, number[][], GenerateOptions, string]>([
    ['no prompt', [], {}, 'generate: expected 1 prompt or more, got none'],
    ['an empty prompt', [[1], []], {}, 'generate: expected prompt 1 to have 1 token or more, got none'],
    ['an unknown token', [[1, 24]], {}, "generate: expected the tokens of prompt 0 to be whole numbers below 24, got 24; is it this model's tokenizer?"],
    ['a negative token', [[-1]], {}, 'whole numbers below 24, got -1'],
    ['half a token', [[0.5]], {}, 'whole numbers below 24, got 0.5'],
    ['a long prompt', [new Array<number>(64).fill(1)], {}, "generate: expected prompt 0 to have fewer tokens than the model's context length of 64, got 64; shorten it"],
    ['too many tokens', [[1], [1, 2, 3]], { maxNewTokens: 62 }, 'generate: expected maxNewTokens of at most 61 after the 3 tokens of prompt 1 (context length 64), got 62'],
    ['no tokens', [[1]], { maxNewTokens: 0 }, 'generate: expected maxNewTokens to be a whole number from 1, got 0'],
    ['a negative limit', [[1]], { maxNewTokens: -5 }, 'generate: expected maxNewTokens to be a whole number from 1, got -5'],
    ['an unknown stop token', [[1]], { stopTokens: [2, 99] }, 'generate: expected the tokens of stopTokens to be whole numbers below 24, got 99'],
    ['stop strings without a tokenizer', [[1]], { stopStrings: ['a'] }, 'generate: expected a tokenizer with stopStrings, got none'],
    ['an empty stop string', [[1]], { stopStrings: [''], tokenizer }, 'generate: expected stop strings of 1 character or more, got ""'],
    ['a sampling option', [[1]], { temperature: -1 }, 'generate: expected temperature to be a number of 0 or more, got -1'],
    ['a seed for one of two', [[1], [2]], { seeds: [3] }, 'generate: expected a seed for each of 2 prompts, got 1'],
    ['half a seed', [[1], [2]], { seeds: [3, 0.5] }, 'generate: expected seed to be a whole number, got 0.5'],
    ['seed and seeds', [[1]], { seed: 1, seeds: [3] }, 'generate: expected seed or seeds, got both'],
    ['context tokens for one of two', [[1], [2]], { contextTokens: [1] }, 'generate: expected contextTokens for each of 2 prompts, got 1'],
    ['no context', [[1, 2]], { contextTokens: [0] }, 'generate: expected contextTokens from 1 to the 2 tokens of prompt 0, got 0'],
    ['more context than prompt', [[1, 2]], { contextTokens: [3] }, 'generate: expected contextTokens from 1 to the 2 tokens of prompt 0, got 3'],
    ['generated tokens for one of two', [[1], [2]], { generated: [[3]] }, 'generate: expected generated tokens for each of 2 prompts, got 1'],
    ['unknown generated tokens', [[1]], { generated: [[24]] }, 'generate: expected the tokens of generated 0 to be whole numbers below 24, got 24'],
    ['more generated tokens than may be', [[1]], { generated: [[1, 2, 3]], maxNewTokens: 2 }, 'generate: expected generated 0 to have at most 2 tokens, got 3'],
  ])('%s', (_, prompts, options, message) => {
    expect(() => generate(decoder, prompts, options)).toThrow(ArgumentError);
    expect(() => generate(decoder, prompts, options)).toThrow(message);
    expect(decoder.calls).toEqual([]);
    expect(decoder.caches).toEqual([]);
  });
});
