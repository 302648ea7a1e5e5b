// What tasks are measured on: whole texts, rows, and what is left out of them.
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import { evaluators, type LanguageModel } from '@mixsga/evaluators';
import { BigramModel } from '@mixsga/evaluators/testing';
import { loadTokenizer, resolveModel, type Tokenizer } from '@mixsga/models';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { collectDocuments, loadCorpus } from '../data/corpus';
import { sotuRows } from '../data/sotu-rows';
import { makeTaskRows, readTaskRows, readTaskTokens, rowsData, usableRows } from './data';

const { hellaswag, piqa, perplexity, dolly, ruler, passkey } = evaluators;
const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

let folder: string;
let tokenizer: Tokenizer;
const before = process.cwd();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-task-data-'));
  process.chdir(folder); // where a corpus has its cache
  tokenizer = await loadTokenizer((await resolveModel('sotu-mini')).directory);
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

const question = (word: string, label = 0) => ({ activity_label: 'a', ctx_a: 'b', ctx_b: '', endings: [word, 'c', 'd', 'e'], label: String(label) });
const model = (contextLength = 16): LanguageModel => new BigramModel({ logits: [[0, 0], [0, 0]], contextLength });

describe('readTaskRows', () => {
  it('reads a file of rows, whose hash is that of their JSON', async () => {
    const rows = [{ a: 1 }, { a: 2, b: ['x'] }];
    const path = await file('rows.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
    const { data, fingerprint, split } = await readTaskRows(hellaswag, { data: path }, {});
    expect(data).toEqual({ name: path, rows: rows.map((value, i) => ({ value, where: `${path}: line ${i + 1}` })) });
    expect(fingerprint).toBe(sha256('{"a":1}\n{"a":2,"b":["x"]}\n'));
    expect(split).toBe('validation');
    expect((await readTaskRows(hellaswag, { data: path, split: 'test' }, {})).split).toBe('test');
    expect(await rowsData('x', [], 'all')).toEqual({ data: { name: 'x', rows: [] }, fingerprint: sha256(''), split: 'all' });
  });

  it('leaves broken rows out where that is asked for, and says how many', async () => {
    const path = await file('broken.jsonl', '{"a": 1}\nx\n{"a": 3}\ny\n');
    await expect(readTaskRows(hellaswag, { data: path }, {})).rejects.toThrow(`${path}: line 2: not JSON`);
    const onMessage = vi.fn();
    const { data } = await readTaskRows(hellaswag, { data: path }, { skipBroken: true, onMessage });
    expect(data.rows!.map(({ value }) => value)).toEqual([{ a: 1 }, { a: 3 }]);
    expect(onMessage.mock.calls).toEqual([[expect.stringMatching(/^hellaswag: 2 broken rows left out, the first: .*broken\.jsonl: line 2: not JSON/)]]);
    await readTaskRows(hellaswag, { data: await file('sound.jsonl', '{}') }, { skipBroken: true, onMessage });
    expect(onMessage).toHaveBeenCalledTimes(1);
  });

  it('takes files of a folder by their names, and ends when it is aborted', async () => {
    await file('part-1.json', '[{"a": 1}]');
    await file('part-2.json', '[{"a": 2}]');
    const { data } = await readTaskRows(hellaswag, { data: folder, files: 'part-2*' }, {});
    expect(data.rows!.map(({ value }) => value)).toEqual([{ a: 2 }]);
    const path = await file('many.jsonl', '{"a": 1}\n'.repeat(200_000));
    await expect(readTaskRows(hellaswag, { data: path }, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('has the embedded rows for tasks of their form alone, by part', async () => {
    for (const split of ['validation', 'test'] as const) {
      const { data } = await readTaskRows(hellaswag, { data: 'sotu', split }, {});
      expect(data).toEqual({ name: 'sotu', rows: await sotuRows('hellaswag', split) });
    }
    expect((await readTaskRows(dolly, { data: 'sotu' }, {})).data.rows).toEqual(await sotuRows('instructions', 'validation'));
    await expect(readTaskRows(hellaswag, { data: 'sotu', split: 'all' }, {})).rejects.toEqual(
      new ArgumentError('hellaswag: expected --split validation or test of the rows of sotu, got all'),
    );
    await expect(readTaskRows(piqa, { data: 'sotu' }, {})).rejects.toEqual(
      new ArgumentError('piqa: expected a file, a folder or a data set of the hub, got sotu, which serves wikitext, hellaswag, dolly'),
    );
    await expect(readTaskRows(perplexity, {}, {})).rejects.toEqual(new ArgumentError('perplexity: expected a file of rows, got none; there is no published data set of it'));
  });

  it('says how else to get the rows of a task where the hub has not', async () => {
    vi.stubEnv('HF_HUB_CACHE', join(folder, 'none'));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    try {
      const error: unknown = await readTaskRows(hellaswag, {}, {}).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(FileError);
      expect((error as Error).message).toMatch(/datasets--Rowan--hellaswag: the data set is not in the cache, and HF_HUB_OFFLINE is set; .*; or give hellaswag a data set of yours \(--data hellaswag=FILE\)$/);
      expect((error as Error).message.split('Rowan--hellaswag:')).toHaveLength(2);
      const own: unknown = await readTaskRows(hellaswag, { data: 'org/own' }, {}).catch((e: unknown) => e);
      expect((own as Error).message).toMatch(/datasets--org--own: the data set is not in the cache/);
      expect((own as Error).message).not.toContain('--data');
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('usableRows', () => {
  const rows = (...values: unknown[]) => rowsData('x', values.map((value, i) => ({ value, where: `x: line ${i + 1}` })), 'test');
  const all = rows(question('good'), question('bad', 9), question('good'), question('much too long'.repeat(9)), question('good'));
  const lines = async (limit?: number, onMessage?: (text: string) => void) => {
    const { data, split, fingerprint } = await usableRows(hellaswag, model(), await all, { routing: 'prefill', ...(limit !== undefined && { limit }) }, { onMessage });
    expect([data.name, split]).toEqual(['x', 'test']);
    expect(fingerprint).toBe((await rowsData('x', data.rows!, 'test')).fingerprint);
    return data.rows!.map(({ where }) => where.slice(-1)).join('');
  };

  it('are those that can be measured, up to a limit', async () => {
    expect(await Promise.all([lines(), lines(9), lines(3), lines(2), lines(1), lines(0)])).toEqual(['135', '135', '135', '13', '1', '']);
  });

  it('says how many are not, before the limit is reached', async () => {
    const messages: string[] = [];
    for (const limit of [undefined, 2, 1]) await lines(limit, (text) => messages.push(text));
    expect(messages).toEqual([
      expect.stringMatching(/^hellaswag: 2 unusable rows left out, the first: x: line 2: expected 'label' to be the right one of the choices 0, 1, 2, 3, got "?9"?$/),
      expect.stringMatching(/^hellaswag: 1 unusable rows left out, the first: x: line 2: /),
    ]);
  });

  it('fails where none is, and passes other errors on', async () => {
    const none = await rows(question('bad', 9), question('bad', 8));
    await expect(usableRows(hellaswag, model(), none, { routing: 'prefill' }, {})).rejects.toThrow(/^x: has no row that can be measured; the first: x: line 1: expected 'label'/);
    expect((await usableRows(hellaswag, model(), await rows(), { routing: 'prefill' }, {})).data.rows).toEqual([]);
    const wrong = { ...hellaswag, check: () => { throw new ArgumentError('wrong'); } };
    await expect(usableRows(wrong, model(), await all, { routing: 'prefill' }, {})).rejects.toThrow(new ArgumentError('wrong'));
  });
});

describe('makeTaskRows', () => {
  const options = (tasks: string[]) => ({ routing: 'decode', limit: 1, retrieval: { tasks, lengths: [2048] } }) as const;
  const made = async (choice: Parameters<typeof makeTaskRows>[1], tasks = ['niah_single_2']) =>
    makeTaskRows(ruler, choice, Object.assign(model(2048), { tokenizer }), options(tasks), {});

  it('cuts haystacks from sotu, a part of a corpus, or all of a text of the user', async () => {
    const path = await file('haystack.txt', Array.from({ length: 2000 }, (_, i) => `Straw number ${i}.`).join('\n\n'));
    const own = await made({ data: path });
    expect(own).toMatchObject({ data: { name: 'ruler', rows: [{ value: { haystack: path, context: expect.stringContaining('Straw number 0. Straw number 1. ') } }] }, split: 'all' });
    const sotu = await made({});
    expect(sotu).toMatchObject({ data: { rows: [{ value: { haystack: 'sotu', context: expect.stringContaining('Gentlemen of the Senate') } }] }, split: 'validation' });
    expect((await made({ data: path, split: 'test' })).data.rows).toMatchObject([{ value: { haystack: 'haystack.txt', context: expect.not.stringContaining('Straw number 0. ') } }]);
    // What samples are resumed by.
    expect((await made({ data: path })).fingerprint).toBe(own.fingerprint);
    expect(new Set([own, sotu, await made({ data: path, split: 'test' })].map(({ fingerprint }) => fingerprint)).size).toBe(3);
  });

  it('reads no text where no task has one', async () => {
    expect((await made({ data: join(folder, 'none.txt') }, ['niah_single_1'])).data.rows).toMatchObject([{ value: { haystack: 'noise' } }]);
    await expect(made({ data: join(folder, 'none.txt') })).rejects.toThrow(FileError);
  });

  it('refuses data that a task has no use for, and all of sotu', async () => {
    await expect(makeTaskRows(passkey, { data: 'sotu' }, model(2048), { routing: 'decode' }, {})).rejects.toEqual(
      new ArgumentError('passkey: expected no data, got sotu; its rows are made, and none is cut from a text'),
    );
    await expect(made({ split: 'all' })).rejects.toEqual(new ArgumentError('ruler: expected --split validation or test of sotu, got all; the rest was trained on'));
  });
});

describe('readTaskTokens', () => {
  it('takes all of a text of the user, and says what of it', async () => {
    const path = await file('whole.txt', 'abba\n\nab');
    const onMessage = vi.fn();
    const { data, split, fingerprint } = await readTaskTokens('perplexity', { data: path }, model(), tokenizer, { onMessage });
    // The prefix token, and one for each character.
    expect(data).toEqual({ name: path, tokens: Int32Array.of(0, 0, 1, 1, 0, 0, 0, 0, 1) });
    expect(split).toBe('all');
    expect(fingerprint).toBe(sha256(new Uint8Array(data.tokens!.buffer)));
    expect(onMessage.mock.calls).toEqual([[`perplexity: all of ${path}: 8 characters, 8 tokens`]]);
  });

  it('joins the documents of several rows, and counts what is broken', async () => {
    const path = await file('documents.jsonl', ['{"text": "ab"}', 'x', '{"text": 7}', '{"text": "b"}'].join('\n'));
    await expect(readTaskTokens('perplexity', { data: path }, model(), tokenizer, {})).rejects.toThrow(`${path}: line 2: not JSON`);
    const onMessage = vi.fn();
    const { data } = await readTaskTokens('perplexity', { data: path }, model(), tokenizer, { skipBroken: true, onMessage });
    expect([...data.tokens!]).toEqual([0, 0, 1, 0, 0, 1]);
    expect(onMessage.mock.calls).toEqual([[`perplexity: all of ${path}: 5 characters, 5 tokens; 2 broken rows left out`]]);
  });

  it('begins with what the tokenizer puts there where the model has no prefix token', async () => {
    const path = await file('plain.txt', `${'ab '.repeat(500)}!`);
    const onMessage = vi.fn();
    const { data } = await readTaskTokens('perplexity', { data: path }, Object.assign(model(), { prefixToken: null }), tokenizer, { onMessage });
    const expected = tokenizer.encode(`${'ab '.repeat(500)}!`);
    expect([...data.tokens!]).toEqual(expected);
    expect(onMessage.mock.calls).toEqual([[`perplexity: all of ${path}: 1,501 characters, ${expected.length.toLocaleString('en-US')} tokens`]]);
  });

  it('takes a part of a corpus where one is asked for, and of sotu by default', async () => {
    const path = await file('corpus.txt', Array.from({ length: 400 }, (_, i) => `Document ${i} says ${'something '.repeat(9)}`).join('\n\n'));
    const { data, split } = await readTaskTokens('perplexity', { data: path, split: 'test' }, model(), tokenizer, {});
    const { test } = await collectDocuments(await loadCorpus(path));
    expect([data.name, split]).toEqual(['corpus.txt', 'test']);
    expect(data.tokens!.length).toBeGreaterThan(test.reduce((sum, text) => sum + tokenizer.encode(text, { addSpecialTokens: false }).length, 0) - 1);
    expect(data.tokens!.length).toBeLessThan(tokenizer.encode((await collectDocuments(await loadCorpus(path))).train.join('')).length);
    const sotu = await readTaskTokens('perplexity', {}, model(), tokenizer, {});
    expect([sotu.data.name, sotu.split]).toEqual(['sotu', 'validation']);
    await expect(readTaskTokens('perplexity', { split: 'all' }, model(), tokenizer, {})).rejects.toEqual(
      new ArgumentError('perplexity: expected --split validation or test of sotu, got all; the rest was trained on'),
    );
  });

  it('says what is missing', async () => {
    await expect(readTaskTokens('perplexity', { data: join(folder, 'none.txt') }, model(), tokenizer, {})).rejects.toThrow(FileError);
  });
});
