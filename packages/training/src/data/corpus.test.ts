import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileError } from '@mixsga/backend';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collectDocuments, loadCorpus } from './corpus';
import { readSotu } from './sotu';

const PARAGRAPH = 'It has been heretofore known to Congress that frequent incursions have been made on our frontier. ';
const LONG = PARAGRAPH.repeat(300);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-corpus-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function failure(path: string): Promise<string> {
  const error: unknown = await loadCorpus(path).then(collectDocuments).catch((e: unknown) => e);
  expect(FileError.isInstance(error)).toBe(true);
  const { message } = error as FileError;
  expect(message.startsWith(path)).toBe(true);
  expect(message).not.toContain('\n');
  return message.slice(path.length);
}

describe('sotu', () => {
  test('233 addresses in order of date', async () => {
    const addresses = await readSotu();
    expect(addresses).toHaveLength(233);
    expect(addresses[0]!.id).toBe('1790_george_washington_n');
    expect(addresses.at(-1)!.id).toBe('2021_joseph_r_biden_d');
    const twice = addresses.filter(({ year }) => year === 1953 || year === 1961).map(({ president }) => president);
    expect(twice).toEqual(['harry_s_truman', 'dwight_d_eisenhower', 'dwight_d_eisenhower', 'john_f_kennedy']);
  });

  test('the parts', async () => {
    const corpus = await loadCorpus('sotu');
    const { train, validation, test } = await collectDocuments(corpus);
    expect(corpus.name).toBe('sotu');
    expect([train.length, validation.length, test.length]).toEqual([199, 22, 12]);
    expect([train, validation, test].map((texts) => texts.join('').length)).toEqual([9_292_144, 1_017_895, 449_748]);
  });
});

describe('text of the user', () => {
  test('a file, with a byte order mark', async () => {
    const corpus = await loadCorpus(await file('one.txt', `\uFEFF${LONG}`));
    const documents = await collectDocuments(corpus);
    expect(corpus.name).toBe('one.txt');
    expect(documents.train[0]!.startsWith('It has been')).toBe(true);
    expect(documents.test[0]!.length).toBeGreaterThan(1000);
  });

  test('a folder: .txt and .md below it, in order of path', async () => {
    for (let i = 0; i < 40; i++) {
      await file(`many/${i % 2}/${String(i).padStart(2, '0')}.${i % 3 ? 'txt' : 'md'}`, `${i}. ${PARAGRAPH.repeat(10)}`);
    }
    await file('many/picture.png', new Uint8Array([0xff, 0xd8]));
    const documents = await collectDocuments(await loadCorpus(join(folder, 'many')));
    expect(documents.train).toHaveLength(36);
    expect(documents.validation.map((text) => text.split('.')[0])).toEqual(['18', '19']);
    expect(documents.test.map((text) => text.split('.')[0])).toEqual(['38', '39']);
  });

  test('JSON Lines', async () => {
    const rows = Array.from({ length: 25 }, (_, i) => JSON.stringify({ id: i, text: `${i} ${PARAGRAPH.repeat(10)}` }));
    const documents = await collectDocuments(await loadCorpus(await file('rows.jsonl', `${rows.join('\r\n')}\n\n`)));
    expect(documents.train).toHaveLength(23);
    expect(documents.validation[0]!.startsWith('9 ')).toBe(true);
  });
});

describe('bad input', () => {
  test('nothing there', async () => {
    expect(await failure(join(folder, 'absent.txt'))).toContain('give "sotu", or the path');
    await mkdir(join(folder, 'empty'));
    expect(await failure(join(folder, 'empty'))).toBe(': holds no .txt, .md, .jsonl, .json or .parquet file; add some');
    expect(await failure(await file('empty.txt', ' \n '))).toContain('holds no text; a corpus needs at least 20,000');
  });

  test('too little text', async () => {
    expect(await failure(await file('tiny.txt', PARAGRAPH))).toContain('holds only 96 characters; a corpus needs at least 20,000');
    const uneven = [LONG, ...Array.from({ length: 19 }, () => 'short')];
    const path = await file('uneven.jsonl', uneven.map((text) => JSON.stringify({ text })).join('\n'));
    expect(await failure(path)).toContain('its validation part holds only 5 characters of at least 500');
  });

  test.each([
    ['a wrong byte', [...Buffer.from('Süd'), 0xff, 0x41], 4],
    ['an overlong form', [0x41, 0xc0, 0x80], 1],
    ['a surrogate', [0x41, 0x42, 0xed, 0xa0, 0x80], 3],
    ['a stray continuation', [0x41, 0x80], 1],
    ['a character cut at the end', [0x41, 0xe2, 0x82], 3],
  ])('invalid UTF-8: %s', async (name, bytes, offset) => {
    const path = await file(`${name}.txt`, Uint8Array.from(bytes));
    expect(await failure(path)).toBe(`: not valid UTF-8 at byte ${offset}; convert the file to UTF-8`);
  });

  test('broken JSON lines', async () => {
    const good = JSON.stringify({ text: PARAGRAPH });
    expect(await failure(await file('cut.jsonl', `${good}\n${good}\n{"text": "cut`))).toMatch(/^: line 3: not JSON \(.+\); each line/);
    expect(await failure(await file('other.jsonl', `${good}\n\n{"content": 1}`))).toBe(
      ': line 3: expected an object with a string "text", got {"content":1}',
    );
    expect(await failure(await file('null.jsonl', 'null'))).toContain('line 1: expected an object');
  });
});

describe('data sets', () => {
  const row = (text: string) => JSON.stringify({ content: `${text} ${PARAGRAPH.repeat(20)}`, id: 1 });

  test('another field, and rows left out', async () => {
    const path = await file('named.jsonl', [...Array.from({ length: 30 }, (_, i) => row(`${i}`)), '{"content": null}'].join('\n'));
    expect(await failure(path)).toMatch(/^: line 1: expected an object with a string "text", got \{"content":"0 It has been/);
    const { train, validation } = await collectDocuments(await loadCorpus(path, { textField: 'content', skipBroken: true }));
    expect([train.length, validation[0]!.slice(0, 2)]).toEqual([27, '9 ']);
  });

  test('files that name parts are these parts, and the rest comes out of the training part', async () => {
    const lines = (name: string, n: number) => Array.from({ length: n }, (_, i) => row(`${name}${i}`)).join('\n');
    await file('set/data/train-0.jsonl', lines('a', 30));
    await file('set/data/train-1.jsonl', lines('b', 30));
    await file('set/data/validation.jsonl', lines('v', 2));
    const load = async (options = {}) => collectDocuments(await loadCorpus(join(folder, 'set'), { textField: 'content', ...options }));
    const firstWords = (texts: string[]) => texts.map((text) => text.split(' ')[0]);
    const { train, validation, test: tested } = await load();
    expect(firstWords(validation)).toEqual(['v0', 'v1']);
    expect(firstWords(tested)).toEqual(['a19', 'b9', 'b29']);
    expect(train).toHaveLength(57);
    await file('set/data/test.jsonl', lines('t', 1));
    const whole = await load();
    expect([whole.train.length, ...firstWords(whole.test)]).toEqual([60, 't0']);
    expect((await load({ file: 'data/train*' })).validation).toHaveLength(3);
  });

  test('the fingerprint follows content and settings', async () => {
    const path = await file('print.jsonl', row('x'));
    const print = async (options = {}) => (await loadCorpus(path, options)).fingerprint;
    const [one, again, otherField] = [await print(), await print(), await print({ textField: 'content' })];
    await file('print.jsonl', row('y'));
    expect(new Set([one, again]).size).toBe(1);
    expect(new Set([one, otherField, await print()]).size).toBe(3);
  });
});
