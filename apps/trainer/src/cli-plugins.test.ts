import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, writeCorpus } from './testing/command-line';

const SLOW = 240_000;
const example = (name: string): string => fileURLToPath(new URL(`../../../examples/${name}/dist/plugin.js`, import.meta.url));

/** An evaluator that counts the tokens of its text. */
const COUNT = `export default ({ registerEvaluator }) => registerEvaluator({
  name: 'count', description: 'how many tokens there are', definition: 'their number', version: 1, reads: 'tokens', higherIsBetter: [],
  items: (_model, { tokens }) => [tokens.length],
  measure: async (_model, items) => items.map((tokens) => ({ tokens })),
  summarise: ([{ tokens }]) => ({ metrics: { tokens }, details: {} }),
});`;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-cli-plugins-'));
  await writeFile(at('count.mjs'), COUNT);
});
afterAll(() => rm(folder, { recursive: true }));

describe('--plugin', () => {
  it('makes routers and attention of other packages those of every command', async () => {
    const plugins = ['--plugin', example('own-router'), '--plugin', example('own-expert')];
    const help = await run(folder, ['convert', '--help', ...plugins]);
    expect(help.out.replace(/\s+/g, ' ')).toContain('"sigmoid", "random", "balanced", "distortion", "cosine"');
    const converted = await run(folder, [...plugins, 'convert', 'sotu-mini', '--attention', 'leading:3:1:6', '--router', 'cosine', '--out', 'own']);
    expect(`${converted.code} ${converted.err}`).toMatch(/^0 /);
    expect(JSON.parse(readFileSync(at('own/config.json'), 'utf8'))).toMatchObject({ mixsga: { attention: 'leading:3:1:6', router: 'cosine' } });
    const without = await run(folder, ['eval', 'own', '--tasks', 'perplexity']);
    expect(without.code).toBe(1);
    expect(without.err).toMatch(/config\.json: mixsga\.(router: expected one of sigmoid, random, balanced, distortion|attention: .*), got "(cosine|leading:3:1:6)"; a plugin may register it \(--plugin, register(Router|Attention)\)\n$/);
    const generated = await run(folder, ['generate', 'own', '--prompt', 'Fellow citizens', '--max-new-tokens', '3', '--json', ...plugins]);
    expect(`${generated.code} ${generated.err}`).toMatch(/^0 /);
    expect(JSON.parse(generated.out)).toMatchObject({ stats: { newTokens: 3 } });
    const measured = await run(folder, [...plugins, 'eval', 'sotu-mini', '--attention', 'mixsga:3:1:6', '--router', 'cosine', '--tasks', 'kv_accounting', '--json']);
    expect(`${measured.code} ${measured.err}`).toMatch(/^0 /);
    expect(JSON.parse(measured.out)).toMatchObject({ attention: 'mixsga:3:1:6', router: 'cosine' });
    const packed = await run(folder, [...plugins, 'inspect', 'sotu-mini', '--attention', 'signs', '--json']);
    expect(`${packed.code} ${packed.err}`).toMatch(/^0 /);
    // 4 layers of 16 heads of 16 numbers, in bits, each head with a scale.
    expect(JSON.parse(packed.out)).toMatchObject({ attention: 'signs', kvBytesPerToken: 4 * 16 * (2 + 4), kvBudget: (2 + 4) / 64 });
    const limited = ['generate', 'sotu-mini', '--attention', 'signs', '--prompt', 'Fellow citizens of the Senate', '--max-new-tokens', '9', '--kv-budget', '60%', '--json', ...plugins];
    const coarsened = await run(folder, limited);
    expect(`${coarsened.code} ${coarsened.err}`).toMatch(/^0 /);
    const { stats } = JSON.parse(coarsened.out) as { stats: { tokensSeen: number; tokensKept: number; kvBytesUsed: number } };
    expect(stats.tokensKept).toBe(stats.tokensSeen);
    expect(stats.kvBytesUsed).toBeLessThanOrEqual(0.6 * (stats.tokensSeen + 1) * 4 * 16 * (2 + 4));
    expect(await run(folder, [...limited, '--kv-policy', 'oldest@2'])).toEqual({ code: 2, out: '', err: 'mixsga: cache: expected no sizes for signs, whose coarser forms are signs:shared, got 2\n' });
  }, SLOW);

  it('makes a family one that is trained, saved, converted, evaluated and generated from', async () => {
    const plugin = ['--plugin', example('own-family')];
    const init = { family: 'smollm3', layers: 4, hiddenSize: 32, heads: 4, kvHeads: 2, ffnSize: 48, contextLength: 64 };
    await writeCorpus(folder);
    const training = { sequenceLength: 32, batchSize: 2, tokens: 192, optimizer: { learningRate: 0.001 }, evaluateEvery: 0, finalEvaluationWindows: 2 };
    const data = { corpus: 'corpus.txt', vocabularySize: 300 };
    await writeFile(at('family.json'), JSON.stringify({ model: { init, attention: 'mixsga:1:1' }, data, ...training }));
    const trained = await run(folder, [...plugin, 'train', 'family.json', '--out', 'family']);
    expect(`${trained.code} ${trained.err}`).toMatch(/^0 /);
    const config = JSON.parse(readFileSync(at('family/config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ architectures: ['SmolLM3ForCausalLM'], model_type: 'smollm3', no_rope_layers: [1, 1, 1, 0], mixsga: { attention: 'mixsga:1:1' } });
    const generated = await run(folder, [...plugin, 'generate', 'family', '--prompt', 'Fellow citizens', '--max-new-tokens', '3', '--json']);
    expect(`${generated.code} ${generated.err}`).toMatch(/^0 /);
    expect(JSON.parse(generated.out)).toMatchObject({ stats: { newTokens: 3 } });
    const without = await run(folder, ['generate', 'family', '--prompt', 'a']);
    expect(without.code).toBe(1);
    expect(without.err).toMatch(/config\.json: unknown model_type "smollm3"; expected one of opt, .*; a plugin may register it \(--plugin, registerFamily\)\n$/);
  }, SLOW);

  it('makes a cache policy one that evicts and one that coarsens', async () => {
    const measure = ['eval', 'sotu-mini', '--tasks', 'perplexity', '--max-windows', '1', '--window-length', '32', '--eviction', 'sample:0.5:7', '--json'];
    const { code, out, err } = await run(folder, [...measure, '--plugin', example('own-policy')]);
    expect(`${code} ${err}`).toMatch(/^0 /);
    expect(JSON.parse(out)).toMatchObject({ eviction: 'sample:0.5:7', results: { perplexity: { eviction: 'sample:0.5:7', tokens: 32 } } });
    const without = await run(folder, measure);
    expect([without.code, without.err]).toEqual([
      2, 'mixsga: --eviction: expected none, or one of h2o, nacl, window, mean-attention, oldest with a limit, such as h2o:0.6, got "sample:0.5:7"; a plugin may register it (--plugin, registerPolicy)\n',
    ]);
    const help = await run(folder, ['generate', '--help', '--plugin', example('own-policy')]);
    expect(help.out.replace(/\s+/g, ' ')).toContain('h2o, nacl, window, mean-attention, oldest, sample');
    const limited = ['generate', 'sotu-mini', '--prompt', 'Fellow citizens of the Senate', '--max-new-tokens', '20', '--kv-budget', '50%', '--kv-policy', 'sample:3:evict', '--json'];
    const generated = await run(folder, [...limited, '--plugin', example('own-policy')]);
    expect(`${generated.code} ${generated.err}`).toMatch(/^0 /);
    const { stats } = JSON.parse(generated.out) as { stats: { tokensSeen: number; kvBytesUsed: number } };
    expect(stats.kvBytesUsed).toBeLessThanOrEqual((stats.tokensSeen + 1) * 4096 / 2);
  }, SLOW);

  it('makes an evaluator a task', async () => {
    const { code, out, err } = await run(folder, ['--plugin', 'count.mjs', 'eval', 'sotu-mini', '--tasks', 'count', '--json']);
    expect(`${code} ${err}`).toMatch(/^0 /);
    expect(JSON.parse(out)).toMatchObject({ results: { count: { tokens: 273310 } } });
    const { code: refused, err: message } = await run(folder, ['eval', 'sotu-mini', '--tasks', 'count']);
    expect(refused).toBe(2);
    expect(message).toContain("evaluator: expected one of perplexity, wikitext");
  }, SLOW);

  it('is one line when there is none, before anything else', async () => {
    expect(await run(folder, ['eval', 'nowhere', '--plugin', './gone.js'])).toEqual({
      code: 2, out: '', err: `mixsga: plugin ./gone.js: expected a file or the folder of a package, and there is neither at ${at('gone.js')}; is it built?\n`,
    });
  });
});

it('plugins of a configuration are those of its folder, in its runs and their children too', async () => {
  const config = {
    kind: 'comparison',
    from: 'sotu-mini',
    methods: [{ name: 'leading', attention: 'leading:3:1:6', router: 'cosine' }],
    plugins: [relative(folder, example('own-expert'))],
    sequenceLength: 64,
    batchSize: 1,
    tokens: 64,
    optimizer: { learningRate: 0.001 },
    evaluateEvery: 0,
    finalEvaluationWindows: 2,
    tasks: [{ task: 'count' }],
  };
  await writeFile(at('comparison.json'), JSON.stringify(config));
  const args = ['train', at('comparison.json'), '--out', 'compared', '--plugin', example('own-router'), '--plugin', 'count.mjs'];
  const { code, err } = await run(folder, args);
  expect(`${code} ${err}`).toMatch(/^0 /);
  const report = readFileSync(at('compared/report.md'), 'utf8');
  expect(report).toContain('leading:3:1:6');
  const recorded = JSON.parse(readFileSync(at('compared/runs/leading-seed0/run.json'), 'utf8')) as { plugins: string[] };
  expect(recorded.plugins).toEqual([example('own-router'), at('count.mjs'), example('own-expert')]);
}, SLOW);
