import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readSotu } from '@mixsga/training/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, start, until, writeCorpus } from './testing/command-line';

const SLOW = 120_000;
const PROMPT = 'The state of the Union is';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-generate-'));
});
afterAll(() => rm(folder, { recursive: true }));

interface Output {
  text: string;
  tokens: number[];
  stats: Record<string, number> & { expertCounts: number[] };
}

const generate = (...args: string[]) => run(folder, ['generate', 'sotu-mini', '--prompt', PROMPT, ...args]);

async function generated(...args: string[]): Promise<Output> {
  const { code, out, err } = await generate('--max-new-tokens', '20', '--json', ...args);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Output;
}

describe('mixsga generate', () => {
  it('prints the text, and what it took to standard error', async () => {
    const { code, out, err } = await generate('--max-new-tokens', '20');
    expect(code).toBe(0);
    const output = await generated();
    expect(out).toBe(`${output.text}\n`);
    const { promptTokens, tokensSeen, kvBytesUsed } = output.stats;
    expect(output.tokens).toHaveLength(20);
    expect(tokensSeen).toBe(promptTokens! + 19);
    // 4 layers, keys and values of 128 numbers of 4 bytes.
    expect(kvBytesUsed).toBe(tokensSeen! * 4096);
    expect(err).toMatch(
      new RegExp(
        `^prompt: ${promptTokens} tokens, \\d+ tokens/s; generated: 20 tokens, \\d+ tokens/s; ` +
          `KV cache: ${tokensSeen} of ${tokensSeen} tokens, ${kvBytesUsed!.toLocaleString('en')} bytes, [\\d,]+ allocated\n$`,
      ),
    );
    expect(output).toMatchObject({
      schema: 'mixsga/generate@1', model: 'sotu-mini', attention: 'mha', backend: 'wasm', weights: 'f32', finish: 'length',
      stats: { newTokens: 20, tokensKept: tokensSeen, expertCounts: [4 * tokensSeen!] },
    });
    expect(output.stats.kvBytesAllocated).toBeGreaterThanOrEqual(kvBytesUsed!);
    expect(output.stats.tokensPerSecond).toBeGreaterThan(0);
  }, SLOW);

  it('converts to another attention, in another type of weights, with eviction', async () => {
    const { stats, ...output } = await generated('--attention', 'mixsga:3:1:6', '--align', '--weights', 'int8', '--eviction', 'window:0.5');
    expect(output).toMatchObject({ attention: 'mixsga:3:1:6', weights: 'int8' });
    const kept = Math.ceil((stats.promptTokens! + 20) / 2);
    expect(stats.tokensKept).toBe(kept);
    expect(stats.expertCounts).toHaveLength(3);
    expect(stats.expertCounts.reduce((sum, count) => sum + count)).toBe(4 * kept);
  }, SLOW);

  it('keeps keys and values in int8', async () => {
    const { stats, ...output } = await generated('--kv', 'int8', '--attention', 'gqa:2');
    expect(output).toMatchObject({ attention: 'gqa:2', kv: 'int8', weights: 'f32' });
    // 4 layers of 4 stored heads of 16: 20 bytes for keys, and for values.
    expect(stats.kvBytesUsed).toBe(stats.tokensSeen! * 4 * 4 * 2 * 20);
  }, SLOW);

  it('draws with a seed, and stops before a text', async () => {
    const drawn = ['--temperature', '0.9', '--top-k', '40', '--top-p', '0.95', '--repetition-penalty', '1.1'];
    const first = await generated(...drawn, '--seed', '1');
    expect(await generated(...drawn, '--seed', '1')).toMatchObject({ text: first.text, tokens: first.tokens });
    expect((await generated(...drawn, '--seed', '2')).tokens).not.toEqual(first.tokens);
    const stop = first.text.slice(10, 14);
    const stopped = await generated(...drawn, '--seed', '1', '--stop', 'no such text', '--stop', stop);
    expect(stopped).toMatchObject({ text: first.text.slice(0, first.text.indexOf(stop)), finish: 'stop' });
  }, SLOW);

  it('reads the prompt from standard input', async () => {
    const running = start(folder, ['generate', 'sotu-mini', '--prompt', '-', '--max-new-tokens', '20', '--json']);
    running.child.stdin!.end(PROMPT);
    const { code, out } = await running.ended;
    expect(code).toBe(0);
    expect((JSON.parse(out) as Output).text).toBe((await generated()).text);
  }, SLOW);

  it('keeps what it printed at a Ctrl-C', async () => {
    await writeCorpus(folder);
    const init = { layers: 2, hiddenSize: 32, heads: 4, ffnSize: 64, contextLength: 8192 };
    const config = {
      model: { init, attention: 'mixsga:3:1:6' },
      data: { corpus: 'corpus.txt', vocabularySize: 300 },
      ...{ sequenceLength: 32, batchSize: 4, tokens: 128, optimizer: { learningRate: 0.01 }, evaluateEvery: 0, finalEvaluationWindows: 1 },
    };
    await writeFile(join(folder, 'run.json'), JSON.stringify(config));
    expect((await run(folder, ['train', 'run.json', '--out', 'long'])).code).toBe(0);
    const running = start(folder, ['generate', 'long', '--prompt', 'so', '--max-new-tokens', '8000']);
    let out = '';
    running.child.stdout!.on('data', (chunk) => (out += String(chunk)));
    await until(() => out.length > 40 || running.child.exitCode !== null);
    running.child.kill('SIGINT');
    const ended = await running.ended;
    expect(ended.code).toBe(130);
    expect(ended.err).toMatch(/mixsga: stopped after \d+ tokens\n$/);
    expect(ended.out.length).toBeGreaterThan(40);
    expect(ended.out.endsWith('\n')).toBe(true);
  }, SLOW);
});

describe('mixsga eval --eviction', () => {
  const evaluate = (...args: string[]) =>
    run(folder, ['eval', 'sotu-mini', '--tasks', 'perplexity', '--data', 'sotu.txt', '--max-windows', '2', '--json', ...args]);

  beforeAll(async () => {
    const addresses = await readSotu();
    await writeFile(join(folder, 'sotu.txt'), addresses.slice(0, 12).map(({ text }) => text).join('\n\n'));
  });

  it('measures perplexity through a cache that keeps a share of the tokens', async () => {
    const perplexity = async (...args: string[]) => {
      const { code, out, err } = await evaluate(...args);
      expect(`${code} ${err.split('\n').filter((line) => line.startsWith('mixsga')).join()}`).toBe('0 ');
      return JSON.parse(out) as { results: { perplexity: { perplexity: number; eviction?: string } } };
    };
    const whole = await perplexity();
    expect(whole).not.toHaveProperty('eviction');
    const none = await perplexity('--eviction', 'none');
    expect(none.results.perplexity.perplexity).toBeCloseTo(whole.results.perplexity.perplexity, 3);
    const kept = await perplexity('--eviction', 'h2o:0.4', '--weights', 'bf16');
    expect(kept).toMatchObject({ eviction: 'h2o:0.4', weights: 'bf16', routing: 'decode', results: { perplexity: { eviction: 'h2o:0.4' } } });
    const ratio = kept.results.perplexity.perplexity / whole.results.perplexity.perplexity;
    expect(ratio).toBeGreaterThan(1.003);
    expect(ratio).toBeLessThan(1.5);
  }, SLOW);

  it('measures an int8 cache token by token, and under prefill routing in one pass with the same rounding', async () => {
    const json = async (...args: string[]) => {
      const { code, out } = await evaluate(...args);
      expect(code).toBe(0);
      return JSON.parse(out) as { kv: string; results: { perplexity: { perplexity: number; eviction?: string; kv_bytes_per_token_cache?: number } } };
    };
    const [whole, int8, prefill] = [await json(), await json('--kv', 'int8'), await json('--kv', 'int8', '--routing', 'prefill')];
    expect([whole.kv, int8.kv, prefill.kv]).toEqual(['f32', 'int8', 'int8']);
    expect(int8.results.perplexity).toMatchObject({ eviction: 'none', kv_bytes_per_token_cache: 4 * 8 * 2 * 20 });
    expect(prefill.results.perplexity).not.toHaveProperty('eviction');
    const [exact, streamed, passed] = [whole, int8, prefill].map(({ results }) => results.perplexity.perplexity) as [number, number, number];
    expect(streamed).not.toBe(exact);
    expect(Math.abs(streamed / exact - 1)).toBeLessThan(2e-3);
    // sotu-mini does not route, so that both rules are one.
    expect(passed).not.toBe(exact);
    expect(Math.abs(passed / streamed - 1)).toBeLessThan(5e-4);
  }, SLOW);

  it.each<[string[], RegExp]>([
    [['--eviction', 'h20:0.6'], /^mixsga: --eviction: expected .*got "h20:0.6"; did you mean h2o\?$/],
    [['--eviction', 'h2o:0.6', '--routing', 'prefill'], /^mixsga: perplexity: expected decode routing with eviction/],
    [['--eviction', 'h2o:0.6', '--tasks', 'routing,hellaswag'], /^mixsga: --eviction: expected a task that depends on it \(perplexity, .*, got routing,hellaswag/],
  ])('refuses %j', async (args, message) => {
    const { code, out, err } = await evaluate(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.trimEnd().split('\n').at(-1)).toMatch(message);
  }, SLOW);
});

describe('bad input to generate ends with one line and exit code 2', () => {
  it.each<[string[], RegExp]>([
    [['--max-new-tokens', '300'], /^mixsga: generate: expected maxNewTokens of at most \d+ after the \d+ tokens of prompt 0 \(context length 256\), got 300/],
    [['--max-new-tokens', 'many'], /^error: option '--max-new-tokens <n>' argument 'many' is invalid/],
    [['--prompt', ''], /^mixsga: generate: expected prompt 0 to have 1 token or more, got none/],
    [['--top-p', '0.9'], /^mixsga: generate: expected a temperature above 0 with topP, got 0/],
    [['--attention', 'gqa:3'], /^mixsga: .*8 KV heads, got 3/],
    [['--eviction', 'h2o:2'], /^mixsga: --eviction: expected a limit above 0 after h2o, .*got "h2o:2"$/],
    [['--kv-budget', '0.5'], /^mixsga: --kv-budget: expected a whole number of bytes from 1, or a share such as 25%, got 0.5$/],
    [['--kv-policy', 'oldest'], /^mixsga: --kv-policy: expected --kv-budget with it, the bytes that it divides, got none$/],
    [['--kv', 'int4'], /^error: option '--kv <type>' argument 'int4' is invalid/],
    [['--weights', 'f64'], /^error: option '--weights <type>' argument 'f64' is invalid/],
    [['--backend', 'vulkan'], /^mixsga: .*vulkan/],
  ])('%j', async (args, message) => {
    const { code, out, err } = await generate(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    const lines = err.trimEnd().split('\n').filter((line) => !line.startsWith('(--help'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
  }, SLOW);
});
