import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FileError } from '@mixsga/backend';
import { parseReport, type Report } from '@mixsga/training';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { curvesOf, frontierReport, fullReport, sentence } from './fixtures';
import { formatTable } from './table';
import { writeReport } from './write';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mixsga-report-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('writeReport', () => {
  it('writes everything, and a report.json that reads back as it was', async () => {
    const report = fullReport([1, 2]);
    const paths = await writeReport(join(directory, 'new', 'demo'), report, { curves: curvesOf(report), sentence });
    expect(paths.map((path) => path.slice(join(directory, 'new', 'demo').length + 1))).toEqual([
      'report.json', 'report.md', 'perplexity-kv.svg', 'training-curves.svg', 'sentence.svg',
    ]);
    expect(parseReport(JSON.parse(await readFile(paths[0]!, 'utf8')))).toEqual(report);
    const markdown = await readFile(paths[1]!, 'utf8');
    for (const plot of paths.slice(2)) expect(markdown).toContain(`](${plot.split(/[\\/]/).at(-1)!})`);
    expect(await readdir(join(directory, 'new', 'demo'))).toHaveLength(5);
  });

  it('tells the answer, the table, and what prefill routing means', async () => {
    const [, path] = await writeReport(directory, fullReport([1]));
    const markdown = await readFile(path!, 'utf8');
    expect(markdown).toContain('**GQA keeps more than mixSGA.** At 50 % of the KV cache, under decode routing, GQA 2 has a perplexity of 39.40 and mixSGA 3:1:6 one of 40.90: 3.7 % lower.');
    expect(markdown).toContain('| mixSGA 3:1:6 | 50 % | 3,073 | 40.90 | 39.80 | 90 % | 31:9:60 | 50.5 % | 3,104 |');
    expect(markdown).toContain('not strictly autoregressive');
    expect(markdown).toContain('Without the consistency loss');
    expect(markdown).not.toContain('training-curves.svg'); // no data, so no plot
  });

  it('explains every name that it prints', async () => {
    const report = fullReport([1]);
    const root = { ...report.methods[3]!, name: 'mixSGA 3:1:6, over the root', attention: 'mixsga-root:3:1:6', align: true };
    const latent = { ...report.methods[1]!, name: 'Latent', attention: 'latent:1@2' };
    const other = { ...report.methods[1]!, name: 'of another version', attention: 'unheard:7' };
    const [, path] = await writeReport(directory, { ...report, methods: [...report.methods, root, latent, other] });
    const lines = (await readFile(path!, 'utf8')).split('\n');
    const explained = lines.slice(lines.indexOf('## What the names mean') + 2, lines.indexOf('## How to read the numbers') - 1);
    const routed = 'a router sends each token to one of 3 experts: 30 % of the tokens keep all KV heads, 10 % one head for each 2, 60 % one head for each 4; 50 % of the KV cache in all';
    expect(explained.slice(0, 10)).toEqual([
      '- **MHA** (`mha`): multi-head attention as in the unmodified model, with the whole KV cache: a ceiling, not a rival.',
      '- **GQA 2** (`gqa:2`): grouped-query attention: of each 2 KV heads one is left, for all tokens alike; 50 % of the KV cache in all.',
      '- **CLA 2** (`cla:2`): cross-layer attention: each 2 layers share the keys and values of the first; 50 % of the KV cache in all.',
      `- **mixSGA 3:1:6** (\`mixsga:3:1:6\`): ${routed}.`,
      '- **mixSGA 1:1:2** (`mixsga:1:1:2`): a router sends each token to one of 3 experts: 25 % of the tokens keep all KV heads, 25 % one head for each 2, 50 % one head for each 4; 50 % of the KV cache in all.',
      `- **mixSGA 3:1:6, random router** (\`mixsga:3:1:6\`): ${routed}; random router.`,
      `- **mixSGA 3:1:6, no consistency loss** (\`mixsga:3:1:6\`): ${routed}; no consistency loss (α = 0): the router is not trained.`,
      `- **mixSGA 3:1:6, over the root** (\`mixsga-root:3:1:6\`): ${routed}; over the root; aligned.`,
      '- **Latent** (`latent:1@2`): keys and values become a latent of 2 times fewer numbers; 50 % of the KV cache in all.',
      '- **of another version** (`unheard:7`): an attention variant that is not known here.',
    ]);
    expect(explained.slice(10).map((line) => /^- \*\*(.*)\*\*: /.exec(line)![1])).toEqual(['aligned', 'over the root', 'sigmoid router', 'random router', 'consistency loss']);
  });

  it('tells the best at each budget that methods of series share', async () => {
    const [json, path] = await writeReport(directory, frontierReport([1, 2, 3]));
    const markdown = await readFile(path!, 'utf8');
    expect(markdown).toContain(`## The best at each budget

- **50 % of the KV cache**: GQA 2, 39.61 (39.40 to 39.82); in every seed below all others: mixSGA 3:1:6 41.21 (41.00 to 41.42).
- **25 % of the KV cache**: mixSGA 1:1:2@2,4,8, 43.21 (43.00 to 43.42); in every seed below all others: GQA 4 44.21 (44.00 to 44.42).
`);
    expect((JSON.parse(await readFile(json!, 'utf8')) as Report).methods.map(({ series }) => series).slice(0, 2)).toEqual(['MHA', 'GQA']);
    const single = await readFile((await writeReport(directory, frontierReport([1])))[1]!, 'utf8');
    expect(single).toContain('**50 % of the KV cache**: GQA 2, 39.40; with one seed: mixSGA 3:1:6 41.00.');
  });

  it.each<[string, (report: Report) => unknown, string]>([
    ['no methods', (r) => ({ ...r, methods: [] }), 'methods'],
    ['another version', (r) => ({ ...r, schema: 'mixsga/report@9' }), 'schema'],
    ['an unknown key', (r) => ({ ...r, colour: 'red' }), 'colour'],
    ['a perplexity that is not a number', (r) => ({ ...r, methods: [{ ...r.methods[0]!, perplexity: { decode: NaN, prefill: 1 } }] }), 'methods.0.perplexity.decode'],
  ])('refuses %s and writes nothing', async (_, change, where) => {
    const broken = change(fullReport([1])) as Report;
    const error = await writeReport(directory, broken).catch((e: unknown) => e);
    expect(FileError.isInstance(error)).toBe(true);
    expect((error as Error).message).toContain(where);
    expect((error as Error).message).not.toContain('\n');
    expect(await readdir(directory)).toEqual([]);
  });

  it('says which path cannot be written', async () => {
    await writeFile(join(directory, 'file'), '');
    await expect(writeReport(join(directory, 'file'), fullReport([1]))).rejects.toThrow(/^\S*file.*report\.json: /);
  });
});

describe('formatTable', () => {
  it('lines up its columns', () => {
    const lines = formatTable(fullReport([1, 2])).split('\n');
    expect(lines).toHaveLength(2 + 7);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
    expect(lines[3]).toMatch(/^GQA 2 +50 % +3,072 +39\.50 \(39\.40 to 39\.61\) +39\.50 \(39\.40 to 39\.61\) +– +– +– +3,072$/);
  });
});
