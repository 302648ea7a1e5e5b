// Tables of what there is by name. docs/catalogs.md is written by this test from the catalogs: `pnpm tables`.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { evaluators } from '@mixsga/evaluators';
import { formats } from '@mixsga/experts';
import { type CachePolicy, policies } from '@mixsga/kv-cache';
import { attentionKinds, families, knownModels, parseAttention } from '@mixsga/models';
import { markdownRows } from '@mixsga/report';
import { type RouterFactory, routers } from '@mixsga/router';
import { presets } from '@mixsga/training';
import { describe, expect, it, test } from 'vitest';

const code = (text: string): string => `\`${text}\``;
const percent = (share: number): string => `${Number((100 * share).toFixed(2))} %`;
const table = (...rows: string[][]): string => markdownRows(rows, rows[0]!.length);
const rowsOf = <T>(catalog: Readonly<Record<string, T>>, row: (entry: T, name: string) => string[]): string[][] =>
  Object.entries(catalog).map(([name, entry]) => [code(name), ...row(entry, name)]);

const routerTable = table(['router', 'chooses by'], ...rowsOf<RouterFactory>(routers, ({ description }) => [description ?? '']));

const policyTable = table(
  ['policy', 'ranks', 'needs attention', 'draws'],
  ...rowsOf<CachePolicy>(policies, ({ description, accumulate, draws }) => [description, accumulate ? 'yes' : '', draws ? 'yes' : '']),
);

const attentionTable = table(
  ['variant', 'form', 'such as', 'KV cache', 'what it is'],
  ...rowsOf(attentionKinds, ({ form, example, description }) => [code(form), code(example), percent(parseAttention(example).kvShare), description]),
);

const familyTable = table(
  ['`model_type`', 'sizes known without a download'],
  ...rowsOf(families, (_, name) => [Object.entries(knownModels).flatMap(([id, { model_type: type }]) => (type === name ? [code(id)] : [])).join(', ')]),
);

const evaluatorTable = table(
  ['task', 'measures', 'as defined by', 'reads', 'under eviction'],
  ...rowsOf(evaluators, ({ description, definition, reads, dataset, makeRows, evicts }) => [description, definition, dataset ? code(dataset.repository) : makeRows ? 'rows that it makes' : { tokens: 'a text', rows: 'rows' }[reads], evicts ? 'yes' : '']),
);

const presetTable = table(['preset', 'kind', 'what it is'], ...rowsOf(presets, ({ config, about }) => [config.kind ?? 'run', about]));

const DOCUMENT = `# Catalogs

<!-- Written by apps/trainer/src/catalogs.test.ts from the catalogs: pnpm tables. -->

What comes with these packages, by the name that the command line, configurations and checkpoints use. A new kind is one file and one line in its
catalog ([architecture.md](architecture.md#where-a-thing-goes)); kinds of other packages are registered, and are not listed here.

## Attention variants

${attentionTable}

## Routers

${routerTable}

## Cache policies

${policyTable}

## Families

${familyTable}

## Tasks of \`mixsga eval\`

${evaluatorTable}

## Presets

${presetTable}
`;

test('docs/catalogs.md is what the catalogs have', async () => {
  await expect(DOCUMENT).toMatchFileSnapshot('../../../docs/catalogs.md');
});

/** Names in the first column of the tables below a heading, or of all tables of a document. */
async function namesIn(path: string, heading?: string): Promise<string[]> {
  const text = await readFile(fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url)), 'utf8');
  const [, section = text] = heading === undefined ? [] : (text.split(new RegExp(`^## ${heading}$`, 'm')) as [string, string?]);
  const rows = section.split(/^## /m, 1)[0]!.matchAll(/^\| (`[^|]*) \|/gm);
  return [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!.split(':')[0]!));
}

describe('the README of', () => {
  it.each<[string, object, string, string?]>([
    ['router', routers, 'router/README.md'],
    ['experts', formats, 'experts/README.md', 'Formats'],
    ['models, of families,', families, 'models/README.md', 'Families'],
    ['models, of attention variants,', attentionKinds, 'models/README.md', 'Attention variants'],
  ])('%s has a row for each kind, and no other', async (_, catalog, path, heading) => {
    const names = new Set((await namesIn(path, heading)).filter((name) => name !== 'model_type'));
    expect([...names].sort()).toEqual(Object.keys(catalog).sort());
  });

  it('kv-cache has a row for each policy', async () => {
    const names = await namesIn('kv-cache/README.md', 'A limit');
    expect(Object.keys(policies).filter((name) => !names.includes(name))).toEqual([]);
  });

  it('evaluators has a row for each task', async () => {
    const names = await namesIn('evaluators/README.md');
    expect(Object.keys(evaluators).filter((name) => !names.includes(name))).toEqual([]);
  });
});
