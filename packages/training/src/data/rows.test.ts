import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { ArgumentError, FileError, SeededRandom } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';

import { readFileRows, readRows, type RowOptions } from './rows';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-rows-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function rowsOf(spec: string, options?: RowOptions): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of readRows(spec, options)) rows.push(row);
  return rows;
}

async function failure(spec: string, options?: RowOptions): Promise<string> {
  const error: unknown = await rowsOf(spec, options).catch((e: unknown) => e);
  expect(FileError.isInstance(error), String(error)).toBe(true);
  const { message } = error as FileError;
  expect(message.startsWith(spec)).toBe(true);
  expect(message).not.toContain('\n');
  return message.slice(spec.length);
}

const values = (rows: readonly DataRow[]) => rows.map(({ value }) => value);
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

describe('JSON', () => {
  test('lines, with blank ones, carriage returns and a byte order mark', async () => {
    const path = await file('a.jsonl', '\uFEFF{"a": 1}\r\n\n{"b": "grün"}\r\n{"c": null}');
    expect(await rowsOf(path)).toEqual([
      { value: { a: 1 }, where: `${path}: line 1` },
      { value: { b: 'grün' }, where: `${path}: line 3` },
      { value: { c: null }, where: `${path}: line 4` },
    ]);
  });

  test('lines longer than what is read at once, and compressed ones', async () => {
    const long = Array.from({ length: 5 }, (_, i) => ({ i, text: 'ü😀'.repeat(300_000 + i) }));
    const lines = long.map((row) => JSON.stringify(row)).join('\n');
    expect(values(await rowsOf(await file('long.ndjson', lines)))).toEqual(long);
    const packed = await file('long.jsonl.gz', gzipSync(lines));
    expect(values(await rowsOf(packed))).toEqual(long);
    const whole = await readFile(packed);
    expect(await failure(await file('cut.jsonl.gz', whole.subarray(0, -9)))).toMatch(/^: not a whole gzip file \(.*\); fetch it again/);
  });

  test('an array, and lines in a .json file', async () => {
    const path = await file('array.json', '\n[\n  {"a": 1},\n  {"a": 2}\n]\n');
    expect(await rowsOf(path)).toEqual([{ value: { a: 1 }, where: `${path}: row 1` }, { value: { a: 2 }, where: `${path}: row 2` }]);
    expect(values(await rowsOf(await file('lines.json', '{"a": 1}\n{"a": 2}')))).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await failure(await file('broken.json', '[{"a": 1},'))).toMatch(/^: not JSON \(.*\); expected an array of objects, \{"data": \[\.\.\.\]\}, or an object on each line$/);
  });

  test('a document with its rows in data, on one line or many', async () => {
    const document = { version: '1.1', data: [{ a: 1 }, { a: 2, more: ['x'] }] };
    for (const [i, text] of [JSON.stringify(document), `\n${JSON.stringify(document, null, 2)}\n`, ` ${JSON.stringify(document)}\n\n`].entries()) {
      const path = await file(`document-${i}.json`, text);
      expect(await rowsOf(path)).toEqual(document.data.map((value, row) => ({ value, where: `${path}: row ${row + 1}` })));
    }
    const path = await file('one.json', '{\n  "a": [1]\n}');
    expect(await rowsOf(path)).toEqual([{ value: { a: [1] }, where: `${path}: row 1` }]);
    // Lines of JSON Lines are rows whatever they hold.
    expect(values(await rowsOf(await file('data.jsonl', '{"data": [1]}')))).toEqual([{ data: [1] }]);
    expect(values(await rowsOf(await file('data.json', '{"data": [1]}\n{"data": [2]}')))).toEqual([{ data: [1] }, { data: [2] }]);
    const skipped: string[] = [];
    const broken = await rowsOf(await file('cut.json', '{\n  "data": [\n    {"a": 1},\n'), { skipBroken: true, onSkip: ({ message }) => skipped.push(message) }).catch((e: unknown) => e);
    expect(String(broken)).toContain('cut.json: not JSON (');
    expect(skipped).toEqual([]);
  });

  test('NaN and infinities, as Python writes them, are null; the words in a text stay', async () => {
    const text = '{"a": NaN, "b": [-Infinity, Infinity, 1], "c": "NaN \\" -Infinity", "NaN": 2}';
    const value = { a: null, b: [null, null, 1], c: 'NaN " -Infinity', NaN: 2 };
    expect(values(await rowsOf(await file('nan.jsonl', `${text}\n{"x": "NaN"}`)))).toEqual([value, { x: 'NaN' }]);
    expect(values(await rowsOf(await file('nan.json', `[${text}]`)))).toEqual([value]);
    expect(await failure(await file('names.jsonl', '{"a": nan, "b": NaN}'))).toMatch(/^: line 1: not JSON/);
  });

  test('zeros are no text', async () => {
    const zeros = Buffer.alloc(1000);
    expect(await failure(await file('zeros.txt', Buffer.concat([Buffer.from('ab'), zeros])))).toBe(': holds a zero byte at byte 2; is it a text file? convert it to UTF-8');
    for (const name of ['zeros.jsonl', 'zeros.json']) expect(await failure(await file(name, zeros))).toBe(': line 1: holds a zero byte at byte 0; is it a text file? convert it to UTF-8');
    const skipped: string[] = [];
    const hole = await file('hole.jsonl', Buffer.concat([Buffer.from('{"a": 1}\n{"b'), Buffer.alloc(3 * 2 ** 20), Buffer.from('}\n{"a": 3}\n')]));
    expect(values(await rowsOf(hole, { skipBroken: true, onSkip: ({ message }) => skipped.push(message.slice(hole.length)) }))).toEqual([{ a: 1 }, { a: 3 }]);
    expect(skipped).toEqual([': line 2: holds a zero byte at byte 12; is it a text file? convert it to UTF-8']);
    expect(await failure(await file('list.json', Buffer.concat([Buffer.from('[\n{"a": 1},\n'), zeros])))).toMatch(/^: line 3: holds a zero byte at byte 12;/);
    for (const name of ['zeros.parquet', 'zeros.jsonl.gz']) expect(await failure(await file(name, zeros))).toMatch(/^: not a /);
  });

  test('a broken line is named, and skipped only when that is asked for', async () => {
    const path = await file('broken.jsonl', Buffer.concat([Buffer.from('{"a": 1}\n{"a": \n'), Buffer.from([0x22, 0xff, 0x22]), Buffer.from('\n{"a": 4}\n')]));
    expect(await failure(path)).toMatch(/^: line 2: not JSON \(.+\); each line must be an object such as/);
    const skipped: string[] = [];
    const rows = await rowsOf(path, { skipBroken: true, onSkip: ({ message }) => skipped.push(message.slice(path.length)) });
    expect(values(rows)).toEqual([{ a: 1 }, { a: 4 }]);
    expect(skipped).toEqual([expect.stringMatching(/^: line 2: not JSON/), ': line 3: not valid UTF-8 at byte 17; convert the file to UTF-8']);
    expect(await failure(await file('all-broken.jsonl', 'x\ny'), { skipBroken: true })).toBe(': holds no rows; add some');
  });

  test('ends when it is aborted', async () => {
    const path = await file('endless.jsonl', '{"a": 1}\n'.repeat(500_000));
    const controller = new AbortController();
    let rows = 0;
    const reading = (async () => {
      for await (const _ of readRows(path, { signal: controller.signal })) if (++rows === 10) controller.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toThrow('enough');
    expect(rows).toBeLessThan(500_000);
  });
});

describe('Parquet', () => {
  const expected = Array.from({ length: 25 }, (_, i) => ({
    id: i,
    text: `Row ${i}: ${'grün '.repeat(i % 5)}ß\n"quoted"`,
    endings: [`a${i}`, `b${i}`],
    label: i % 7 === 0 ? null : String(i % 3),
    blob: undefined,
  }));

  it.each(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4', 'v2', 'delta'])('rows of row groups: %s', async (codec) => {
    const path = fixture(`rows-${codec}.parquet`);
    const rows = await rowsOf(path);
    expect(values(rows)).toEqual(expected);
    expect(rows[16]!.where).toBe(`${path}: row 17`);
    expect(JSON.parse(JSON.stringify(rows[0]!.value))).not.toHaveProperty('blob');
  });

  it('reads single columns, and says when there is none of a name', async () => {
    const one = { path: fixture('rows-zstd.parquet'), name: 'z' };
    const read = async (columns: string[]) => {
      const rows: unknown[] = [];
      let bytes = 0;
      for await (const { value } of readFileRows(one, { columns, onBytes: (n) => (bytes += n) })) rows.push(value);
      return { rows, bytes };
    };
    const { rows, bytes } = await read(['text']);
    expect(rows).toEqual(expected.map(({ text }) => ({ text })));
    expect(bytes).toBe((await readFile(one.path)).length);
    await expect(read(['words'])).rejects.toThrow(/^z: expected a column "words", got id, text, endings/);
  });

  it('keeps a U+FEFF at the beginning of a text, as JSON Lines has it', async () => {
    const texts = ['\uFEFFmarked', 'in\uFEFFside', '\uFEFF'];
    expect(values(await rowsOf(fixture('byte-order-marks.parquet')))).toEqual(texts.map((text) => ({ text })));
    const lines = texts.map((text) => JSON.stringify({ text })).join('\n');
    expect(values(await rowsOf(await file('marks.jsonl', `\uFEFF${lines}`)))).toEqual(texts.map((text) => ({ text })));
  });

  it('names the row whose text is not UTF-8', async () => {
    const path = fixture('not-utf8.parquet');
    expect(await failure(path)).toBe(': row 2: not valid UTF-8 at byte 4 of a text; convert it to UTF-8');
    expect(values(await rowsOf(path, { skipBroken: true }))).toEqual([{ text: 'good' }, { text: 'good' }]);
  });

  it('refuses what is cut, no Parquet, or claims what it cannot have', async () => {
    const good = await readFile(fixture('rows-snappy.parquet'));
    expect(await failure(await file('empty.parquet', ''))).toBe(': not a Parquet file: expected it to begin with PAR1');
    expect(await failure(await file('text.parquet', 'a text of some length'))).toBe(': not a Parquet file: expected it to begin with PAR1');
    expect(await failure(await file('cut.parquet', good.subarray(0, -20)))).toContain('expected PAR1 at its end: the file is cut');
    const absurd = Buffer.from(good);
    absurd.writeUInt32LE(0xfffffff0, good.length - 8);
    expect(await failure(await file('absurd.parquet', absurd))).toMatch(/^: damaged: its footer claims 4294967280 bytes of a file of 4257/);
    const footer = Buffer.from(good);
    footer.fill(0xff, good.length - 200, good.length - 8);
    expect(await failure(await file('footer.parquet', footer))).toMatch(/^: damaged or not supported: .*; write it again/);
    const page = Buffer.from(good);
    page.fill(0xff, 4, 30);
    expect(await failure(await file('page.parquet', page))).toMatch(/^: row group 1: damaged or not supported: column "id": /);
    // Sound pages whose values are none: only the library finds out.
    const dates = await readFile(fixture('rows-none.parquet'));
    dates.fill(0xff, dates.indexOf('Row 0') - 4, dates.indexOf('Row 0'));
    expect(await failure(await file('values.parquet', dates))).toMatch(/^: row group 1: damaged or not supported: column "text": /);
  });

  it('whatever bytes are wrong, either reads rows or says that the file is damaged, in little memory', async () => {
    const good = await readFile(fixture('rows-zstd.parquet'));
    const random = new SeededRandom(1, 0);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 400; i++) {
      const bad = Buffer.from(good);
      for (let n = 0; n <= i % 3; n++) bad[random.nextInt(good.length)] = random.nextInt(256);
      const path = await file('fuzzed.parquet', bad);
      const error: unknown = await rowsOf(path).then(() => null, (e: unknown) => e);
      if (error !== null) expect(FileError.isInstance(error), String(error)).toBe(true);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 29);
  });
});

describe('files, folders and data sets', () => {
  test('text is a row a file; a README does not count where there is something else', async () => {
    await file('texts/b.md', 'second');
    await file('texts/a.txt', 'first');
    await file('texts/README.md', 'about');
    await file('texts/rows.jsonl', '{"text": "no"}');
    const path = join(folder, 'texts');
    expect(await rowsOf(path)).toEqual([
      { value: { text: 'first' }, where: join(path, 'a.txt') },
      { value: { text: 'second' }, where: join(path, 'b.md') },
    ]);
    expect(values(await rowsOf(path, { file: 'rows.jsonl' }))).toEqual([{ text: 'no' }]);
    await rm(join(path, 'a.txt'));
    await rm(join(path, 'b.md'));
    expect(values(await rowsOf(path))).toEqual([{ text: 'no' }]);
    await rm(join(path, 'rows.jsonl'));
    expect(values(await rowsOf(path))).toEqual([{ text: 'about' }]);
  });

  test('a folder of tables in order of path, and parts of it', async () => {
    await file('tables/sub/2.jsonl', '{"n": 2}');
    await file('tables/sub/1.jsonl', '{"n": 1}');
    await file('tables/0.jsonl', '{"n": 0}\n{"n": 0}');
    await file('tables/meta.json', '{}');
    const path = join(folder, 'tables');
    expect(values(await rowsOf(path))).toEqual([{ n: 0 }, { n: 0 }, { n: 1 }, { n: 2 }]);
    expect(values(await rowsOf(path, { file: 'sub' }))).toEqual([{ n: 1 }, { n: 2 }]);
    expect(values(await rowsOf(path, { file: 'sub/*2.jsonl' }))).toEqual([{ n: 2 }]);
    expect(await failure(path, { file: 'none*' })).toBe(
      ': holds no .txt, .md, .jsonl, .json or .parquet file that none* names; it has 0.jsonl, meta.json, sub/1.jsonl, sub/2.jsonl',
    );
    await expect(rowsOf(join(path, '0.jsonl'), { file: 'x' })).rejects.toThrow(ArgumentError);
  });

  test('nothing there', async () => {
    await mkdir(join(folder, 'nothing'));
    expect(await failure(join(folder, 'nothing'))).toBe(': holds no .txt, .md, .jsonl, .json or .parquet file; add some');
    expect(await failure(join(folder, 'absent.txt'))).toContain('"organisation/name" of a data set of the Hugging Face hub');
    expect(await failure('data/absent.jsonl')).toContain('cannot be read (ENOENT');
    expect(await failure(await file('void.jsonl', '\n\n'))).toBe(': holds no rows; add some');
  });
});

test('a data set of the hub, from the cache', async () => {
  const commit = '0123456789abcdef0123456789abcdef01234567';
  const files = { 'README.md': '# Tiny', 'data/train.jsonl': '{"n": 1}\n{"n": 2}\n', 'data/test.jsonl': '{"n": 3}\nx' };
  for (const [name, content] of Object.entries(files)) await file(`hub/datasets--org--tiny/snapshots/${commit}/${name}`, content);
  await file('hub/datasets--org--tiny/refs/main', commit);
  const listing = Object.entries(files).map(([path, { length: size }]) => ({ path, size, hash: '0'.repeat(40) }));
  await file(`hub/datasets--org--tiny/listings/${commit}.json`, JSON.stringify(listing));
  vi.stubEnv('HF_HUB_CACHE', join(folder, 'hub'));
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  try {
    expect(await rowsOf('org/tiny', { file: 'data/train*' })).toEqual([
      { value: { n: 1 }, where: 'org/tiny/data/train.jsonl: line 1' },
      { value: { n: 2 }, where: 'org/tiny/data/train.jsonl: line 2' },
    ]);
    expect(await failure('org/tiny')).toMatch(/^\/data\/test.jsonl: line 2: not JSON/);
    await expect(rowsOf('org/absent')).rejects.toThrow('the data set is not in the cache, and HF_HUB_OFFLINE is set');
  } finally {
    vi.unstubAllEnvs();
  }
});
