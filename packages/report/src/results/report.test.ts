import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FileError } from '@mixsga/backend';
import { evaluatorNamed, harnessResults, type MeasuredModel, type MeasuredTask, resultsFileName } from '@mixsga/evaluators';
import { DOMParser } from '@xmldom/xmldom';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { fullReport } from '../fixtures';
import { collect } from './collect';
import { writeResultsReport } from './write';

/** With a results file that lm-evaluation-harness 0.4.13 wrote (tools/make_evaluator_fixtures.py). */
const HARNESS = fileURLToPath(new URL('../../../training/src/evaluation/fixtures/harness', import.meta.url));

/** Results that are part of the documentation. */
const DOCS = fileURLToPath(new URL('../../../../docs/results', import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-results-'));
});
afterEach(() => rm(folder, { recursive: true }));

const KV = { mha: 1, 'gqa:2': 0.5, 'mixsga:3:1:6': 0.5 };
const RATIOS = { decode: [0.31, 0.09, 0.6], prefill: [0.3, 0.1, 0.6] };

/** Details of `routing`, numbers made up. */
const ROUTED = {
  groupSizes: [1, 2, 4],
  windowLength: 256,
  perLayer: [{ agreement: 0.9, ratios: RATIOS }, { agreement: 0.8, ratios: RATIOS }],
  overPosition: { decode: [RATIOS.decode, null], prefill: [RATIOS.prefill, null] },
  byToken: [{ id: 5, text: ' the', count: 90, ratios: [0.1, 0.2, 0.7] }, { id: 7, text: '<a>', count: 12, ratios: [0.8, 0.1, 0.1] }],
  ratios: RATIOS,
};

function task(name: string, metrics: MeasuredTask['metrics'], more: Partial<MeasuredTask> = {}): MeasuredTask {
  return { name, evaluator: evaluatorNamed(name), data: 'sotu', options: { routing: 'decode' }, metrics, details: {}, samples: [{}, {}], ...more };
}

/** Writes a results file as `mixsga eval --out` does. @param day of January, by which files are newer */
async function evaluated(attention: keyof typeof KV, tasks: MeasuredTask[], day = 1, model = 'm', type?: 'int8', router?: string): Promise<string> {
  const kv = { bytesPerToken: 4096 * KV[attention], bytesPerTokenFull: 4096, budget: KV[attention], groupSizes: [1], ratios: [1], ...(type && { type }) };
  const measured: MeasuredModel = { model, attention, router, backend: 'wasm', weights: 'f32', kv, contextLength: 256, tasks };
  const startedAt = new Date(Date.UTC(2026, 0, day));
  const path = join(folder, 'in', attention.replaceAll(':', '-') + (router ?? ''), resultsFileName(startedAt));
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, JSON.stringify(await harnessResults(measured, { startedAt, seconds: 2 })));
  return path;
}

async function report(...folders: string[]): Promise<{ markdown: string; plots: string[] }> {
  const [path, ...plots] = await writeResultsReport(join(folder, 'out'), await collect(folders.length > 0 ? folders : [join(folder, 'in')]));
  return { markdown: await readFile(path!, 'utf8'), plots: plots.map((plot) => plot.slice(join(folder, 'out').length + 1)) };
}

/** Texts of a picture; throws where it is not well-formed. */
async function texts(plot: string): Promise<string[]> {
  const svg = await readFile(join(folder, 'out', plot), 'utf8');
  const document = new DOMParser({ onError: (_level, message) => { throw new Error(message); } }).parseFromString(svg, 'image/svg+xml');
  return [...document.getElementsByTagName('text')].map((element) => element.textContent ?? '');
}

describe('a report of results', () => {
  it('tells an int8 cache from a float32 one, and compares it with none at an equal share', async () => {
    await evaluated('mha', [task('perplexity', { perplexity: 35.2, nll: 3.561 })]);
    await evaluated('mha', [task('perplexity', { perplexity: 35.3, nll: 3.564 })], 2, 'm', 'int8');
    await evaluated('gqa:2', [task('perplexity', { perplexity: 37.3, nll: 3.619 })], 3);
    await evaluated('gqa:2', [task('perplexity', { perplexity: 37.4, nll: 3.622 })], 4, 'm', 'int8');
    const { markdown } = await report();
    expect(markdown).toContain('| m | mha | 100 % | f32 | sotu | decode | 2 | **35.20** |');
    expect(markdown).toContain('| m | mha | 100 % in int8 | f32 | sotu | decode | 2 | 35.30 |');
    expect(markdown).toContain('| m | gqa:2 | 50 % in int8 | f32 | sotu | decode | 2 | 37.40 |');
    expect(markdown).not.toContain('% of the KV cache\n');
  });

  it('has a table for each task, and the variants of one cost beside each other', async () => {
    const accuracy = (acc: number) => task('hellaswag', { acc, acc_stderr: 0.01, acc_norm: acc + 0.1, acc_norm_stderr: 0.02 });
    await evaluated('mha', [accuracy(0.4), task('perplexity', { perplexity: 35.2, nll: 3.561 })]);
    await evaluated('gqa:2', [accuracy(0.3), task('perplexity', { perplexity: 37.3, nll: 3.619 })]);
    await evaluated('mixsga:3:1:6', [accuracy(0.32)]);
    const { markdown, plots } = await report();
    expect(markdown).toContain('| model | attention | KV cache | weights | data | routing | samples | acc | acc_norm |');
    expect(markdown).toContain('| m | mha | 100 % | f32 | sotu | decode | 2 | 0.4000 ± 0.0100 | **0.5000 ± 0.0200** |');
    expect(markdown).toContain('| m | mixsga:3:1:6 | 50 % | f32 | sotu | decode | 2 | 0.3200 ± 0.0100 | 0.4200 ± 0.0200 |');
    expect(markdown).toContain('### 50 % of the KV cache\n\n| metric | data | routing | m (gqa:2) | m (mixsga:3:1:6) |');
    expect(markdown).toContain('| hellaswag: acc_norm | sotu | decode | 0.4000 ± 0.0200 | **0.4200 ± 0.0200** |');
    expect(markdown).toContain('| perplexity: perplexity | sotu | decode | 37.30 | – |');
    expect(plots).toEqual(['hellaswag-kv.svg', 'perplexity-kv.svg']);
    for (const plot of plots) expect(markdown).toContain(`](${plot})`);
    expect(await texts('hellaswag-kv.svg')).toEqual(
      expect.arrayContaining(['bars: one standard error up and down', 'm (mha): 0.5', 'm (mixsga:3:1:6): 0.42', 'acc_norm (higher is better)']),
    );
    expect(await texts('perplexity-kv.svg')).not.toContain('bars: one standard error up and down');
  });

  it('tells kinds of routers apart', async () => {
    await evaluated('mixsga:3:1:6', [task('piqa', { acc: 0.32, acc_stderr: 0.01 })], 1, 'm', undefined, 'sigmoid');
    await evaluated('mixsga:3:1:6', [task('piqa', { acc: 0.34, acc_stderr: 0.01 })], 1, 'm', undefined, 'random');
    const { markdown } = await report();
    expect(markdown).toContain('| m | mixsga:3:1:6 | 50 % | f32 | sotu | decode | 2 | 0.3200');
    expect(markdown).toContain('| m | mixsga:3:1:6, random | 50 % | f32 | sotu | decode | 2 | **0.3400');
  });

  it("reads lm-evaluation-harness's own files, beside ours", async () => {
    await evaluated('mha', [task('hellaswag', { acc: 0.4, acc_stderr: 0.01, acc_norm: 0.5, acc_norm_stderr: 0.02 })]);
    const { markdown } = await report(join(folder, 'in'), HARNESS);
    const rows = markdown.split('\n').filter((line) => line.startsWith('| '));
    expect(rows).toContain('| m | mha | 100 % | f32 | sotu | decode | 2 | 0.4000 ± 0.0100 | 0.5000 ± 0.0200 |');
    expect(rows.find((row) => row.endsWith('| 10 | 0.2000 ± 0.1333 | 0.2000 ± 0.1333 |'))).toMatch(/^\| [^|]+ \| – \| – \| – \| – \| – \| 10 \|/);
    expect(markdown).toContain('| 0.6364 ± 0.1521 | 0.7273 ± 0.1408 |');
    expect(markdown).toMatch(/### wikitext\n\n\| model \| samples \| word_perplexity \| byte_perplexity \| bits_per_byte \|\n.*\n.*\| 12,551,323,779 \| 315.20 \|/);
    expect([...markdown.matchAll(/^### (.*)/gm)].map(([, name]) => name)).toEqual(['wikitext', 'hellaswag', 'piqa', 'winogrande', 'arc_easy', 'arc_challenge']);
  });

  it('draws what is found by length and depth, for each task whose answers have a place', async () => {
    const cell = (task: string, length: number, depth: number | null, score: number) => ({ task, length, depth, score, samples: 2 });
    const cells = [cell('niah_single_1', 4096, 0, 1), cell('niah_single_1', 4096, 0.5, 0.25), cell('niah_single_1', 16384, 0.5, 0.62), cell('ruler_vt', 4096, null, 0.77)];
    const passkey = task('passkey', { score: 0.5, score_4096: 0.5 }, { details: { scores: [cell('passkey', 4096, 1, 0.5)] }, options: { routing: 'decode', cache: 'h2o:0.6' } });
    await evaluated('mha', [task('ruler', { score: 0.5, score_stderr: 0.1, score_4096: 0.5, score_4096_stderr: 0.1 }, { details: { scores: cells } }), passkey]);
    const { markdown, plots } = await report();
    expect(plots).toEqual(['ruler-m-mha.svg', 'passkey-m-mha-h2o-0-6.svg']);
    expect(markdown).toContain('## Retrieval\n\n![ruler by length and depth, m (mha)](ruler-m-mha.svg)');
    expect(await texts('ruler-m-mha.svg')).toEqual(expect.arrayContaining(['niah_single_1', '100', '25', '62', '4,096', '16,384', '0 %', '50 %']));
    expect(await texts('ruler-m-mha.svg')).not.toContain('77');
    const path = await evaluated('gqa:2', [task('ruler', { score: 1 }, { details: { scores: [{ ...cells[0], depth: 2 }] } })]);
    const { leftOut } = await collect([join(folder, 'in')]);
    expect(leftOut).toEqual([{ path, content: expect.stringMatching(/^mixsga\.tasks\.ruler\.details\.scores\.0\.depth: /) }]);
  });

  it('draws routing, token importance and perplexity under eviction', async () => {
    const perplexity = (value: number, eviction?: string) =>
      task('perplexity', { perplexity: value }, { options: { routing: 'decode', ...(eviction !== undefined && { eviction }) } });
    const windows = [{ perplexity: 25, tokens: ['The', ' state', ' & \n'], changes: [0.4, -0.01, 0.0005] }];
    await evaluated('mixsga:3:1:6', [
      task('routing', { agreement: 0.85 }, { details: ROUTED }),
      task('token_importance', { mean_change: 0.1 }, { details: { windows } }),
      perplexity(40),
    ]);
    await evaluated('mixsga:3:1:6', [perplexity(41, 'h2o:0.6')], 2);
    await evaluated('mixsga:3:1:6', [perplexity(44, 'h2o:0.2')], 3);
    const { plots } = await report();
    expect(plots).toEqual(['eviction.svg', 'routing-m-mixsga-3-1-6.svg', 'tokens-m-mixsga-3-1-6.svg', 'importance-m-mixsga-3-1-6.svg']);
    expect(await texts('eviction.svg')).toEqual(expect.arrayContaining(['m (mixsga:3:1:6), h2o', '100%']));
    expect(await texts('routing-m-mixsga-3-1-6.svg')).toEqual(expect.arrayContaining(['all KV heads', 'groups of 4', 'by layer, decode routing', '256']));
    expect(await texts('tokens-m-mixsga-3-1-6.svg')).toEqual(expect.arrayContaining(['·the   90×', '<a>   12×']));
    expect(await texts('importance-m-mixsga-3-1-6.svg')).toEqual(expect.arrayContaining(['The', '·state', '·&·↵', '+40 %', '0']));
  });

  it('takes the newest of what was measured alike, and says so', async () => {
    await evaluated('mha', [task('perplexity', { perplexity: 36 })], 1);
    await evaluated('mha', [task('perplexity', { perplexity: 35 })], 2);
    await evaluated('mha', [task('perplexity', { perplexity: 34 }, { data: 'others.txt' })], 3);
    const { markdown } = await report();
    expect(markdown).toContain('| sotu | decode | 2 | 35 |');
    expect(markdown).toContain('| others.txt | decode | 2 | 34 |');
    expect(markdown).not.toContain('| 36 |');
    expect(markdown).toContain('Older results of the same settings, which are left out: 1.');
  });

  it('tells of comparisons and sweeps too', async () => {
    await mkdir(join(folder, 'in', 'demo'), { recursive: true });
    await writeFile(join(folder, 'in', 'demo', 'report.json'), JSON.stringify(fullReport([1, 2])));
    const metric = { mean: 41, min: 40, max: 42, std: 1.4, seeds: 2 };
    const setting = { settings: { attention: 'gqa:2' }, seeds: [1, 2], parameters: 1000, kvBudget: 0.5, kvBytesPerToken: 2048, metrics: { perplexity: metric } };
    const sweep = { schema: 'mixsga/sweep@1', backend: 'wasm', corpus: 'sotu', seconds: 9, metric: 'perplexity', higherIsBetter: false, keys: ['attention'], settings: [setting], best: 0, runs: [] };
    await writeFile(join(folder, 'in', 'sweep.json'), JSON.stringify(sweep));
    const { markdown, plots } = await report();
    expect(markdown).toContain(`## Comparison: ${join(folder, 'in', 'demo')}\n\n**GQA keeps more than mixSGA.**`);
    expect(markdown).toContain('| MHA | 100 % |');
    expect(markdown).toContain(`## Sweep: ${join(folder, 'in')}\n\nLowest perplexity: 41 (40 to 42) with attention gqa:2.`);
    expect(plots.map((plot) => plot.replace(/-.*-/, '-…-'))).toEqual(['comparison-…-demo.svg', 'sweep-…-in.svg']);
  });

  it.each<[string, string, unknown, string]>([
    ['of another version', 'results_1.json', { results: {}, mixsga: { schema: 'mixsga/results@9' } }, 'expected results of the schema mixsga/results@1, got "mixsga/results@9"'],
    ['without results', 'results_1.json', { a: 1 }, "found no 'results'"],
    ['of another version', 'report.json', { ...fullReport([1]), schema: 'mixsga/report@9' }, 'schema: '],
    ['of another version', 'sweep.json', { schema: 'mixsga/sweep@9' }, 'schema: '],
    ['of another tool', 'report.json', { kind: 'lighthouse' }, 'schema: expected "mixsga/report@…", got none'],
    ['of another tool', 'else.json', [1, 2], 'expected results of mixsga eval --out or of lm-evaluation-harness, a comparison (report.json) or a sweep (sweep.json), got JSON of something else'],
    ['of another command', 'speed.json', { schema: 'mixsga/bench-train@1' }, 'got mixsga/bench-train@1'],
    ['with broken details', 'results_2.json', null, 'mixsga.tasks.routing.details.windowLength: '],
  ])('leaves out a file %s, names it and goes on: %s', async (_, name, content, message) => {
    await evaluated('mha', [task('perplexity', { perplexity: 36 })]);
    const path = join(folder, 'in', name);
    if (content === null) await rename(await evaluated('mixsga:3:1:6', [task('routing', { agreement: 0.85 }, { details: { ...ROUTED, windowLength: 'long' } })]), path);
    else await writeFile(path, JSON.stringify(content));
    const { markdown } = await report();
    expect(markdown).toContain('| m | mha | 100 % | f32 | sotu | decode | 2 | 36 |');
    const [, left] = markdown.split('## Left out\n\n');
    expect(left).toMatch(new RegExp(`^- ${path.replaceAll('.', '\\.')}: [^\\n]*\n$`));
    expect(left).toContain(message);
    await expect(collect([path])).rejects.toThrow(`${path}: `);
    await expect(collect([path])).rejects.toThrow(message);
  });

  it('reads our own results, where files have names of their own, and leaves out the table that is none', async () => {
    const { comparisons, leftOut, ...others } = await collect([DOCS]);
    expect(comparisons.map(({ path }) => basename(path))).toEqual(['aligned.json', 'frontier.json', 'long.json']);
    expect(others).toEqual({ results: [], sweeps: [] });
    expect(leftOut).toEqual([{ path: join(DOCS, 'sweep.json'), content: 'schema: expected "mixsga/sweep@…", got none' }]);
    const { markdown } = await report(DOCS);
    for (const { path } of comparisons) expect(markdown).toContain(`## Comparison: ${path.slice(0, -5)}\n`);
    for (const { content } of comparisons) expect(content.model).toEqual({ parameters: 1_088_512, layers: 4, heads: 8, hidden: 128 });
  });

  it.each([['long.json', 'perplexity-kv.svg'], ['frontier.json', 'frontier.svg']])('draws of %s what the docs show', async (name, picture) => {
    const { plots } = await report(join(DOCS, name));
    expect(plots).toHaveLength(1);
    expect(await readFile(join(folder, 'out', plots[0]!), 'utf8')).toBe(await readFile(join(DOCS, picture), 'utf8'));
  });

  it('takes the JSON of runs and models for theirs, but not results among it', async () => {
    const path = await evaluated('mha', [task('perplexity', { perplexity: 36 })]);
    const run = join(path, '..');
    await mkdir(join(run, 'checkpoints', 'step-1'), { recursive: true });
    for (const name of ['run.json', 'tokenizer.json', 'checkpoints/step-1/state.json']) await writeFile(join(run, name), '{}');
    await writeFile(join(folder, 'in', 'seconds.json'), '3');
    const { results, leftOut } = await collect([join(folder, 'in')]);
    expect([results.length, leftOut]).toEqual([1, []]);
  });

  it('refuses where nothing can be used, and writes nothing', async () => {
    const path = await evaluated('mha', [task('perplexity', { perplexity: 36 })]);
    await writeFile(path, '{"results": ');
    await expect(report()).rejects.toThrow(`${path}: expected JSON: `);
    const other = join(folder, 'in', 'report.json');
    await writeFile(other, '{}');
    const error = await report().catch((e: unknown) => e as Error);
    expect(FileError.isInstance(error)).toBe(true);
    expect((error as Error).message).toContain(`found none; the first of 2 files that cannot be used is ${path}: expected JSON: `);
    expect((error as Error).message).not.toContain('\n');
    await mkdir(join(folder, 'empty'));
    await expect(report(join(folder, 'empty'))).rejects.toThrow(/empty: expected results_….json, report.json or sweep.json in it or below, found none; mixsga eval --out writes results/);
    await expect(report(join(folder, 'nowhere'))).rejects.toThrow(/nowhere: no such file or folder/);
    expect((await readdir(folder)).sort()).toEqual(['empty', 'in']);
  });
});
