import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ArgumentError, FileError } from '@mixsga/backend';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SampleFile, type SampleHeader } from './sample-file';

interface Sample {
  readonly acc: number;
}

const header: SampleHeader = { task: 'hellaswag', version: 1, settings: { model: 'abc', options: { routing: 'decode', limit: 8 } } };

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-samples-'));
  path = join(folder, 'new', 'hellaswag.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

const open = (resume: boolean, asked = header) => new SampleFile<Sample>(path, asked, resume);

async function filled(): Promise<void> {
  const file = open(false);
  expect(await file.load()).toEqual([]);
  await file.append([{ acc: 1 }, { acc: 0 }]);
  await file.append([{ acc: 0.5 }]);
  file.close();
}

describe('SampleFile', () => {
  it('keeps samples over a restart, and goes on after them', async () => {
    await filled();
    const file = open(true);
    expect(await file.load()).toEqual([{ acc: 1 }, { acc: 0 }, { acc: 0.5 }]);
    await file.append([{ acc: 0.25 }]);
    file.close();
    expect((await readFile(path, 'utf8')).split('\n').slice(1)).toEqual(['{"acc":1}', '{"acc":0}', '{"acc":0.5}', '{"acc":0.25}', '']);
  });

  it('drops a line that a kill left half-written', async () => {
    await filled();
    await appendFile(path, '{"acc":0.1');
    const file = open(true);
    expect(await file.load()).toHaveLength(3);
    await file.append([{ acc: 0.75 }]);
    file.close();
    const again = open(true);
    expect(await again.load()).toEqual([{ acc: 1 }, { acc: 0 }, { acc: 0.5 }, { acc: 0.75 }]);
    again.close();
  });

  it('writes nothing before there are samples', async () => {
    const file = open(false);
    expect(await file.load()).toEqual([]);
    file.close();
    expect(existsSync(path)).toBe(false);
  });

  it.each<[string, (content: string) => string]>([
    ['not even the first line is whole', (content) => content.slice(0, 20)],
    ['there is no whole sample', (content) => content.slice(0, content.indexOf('\n') + 5)],
  ])('starts anew where %s', async (_, cut) => {
    await filled();
    await writeFile(path, cut(await readFile(path, 'utf8')));
    const file = open(false, { ...header, version: 2 });
    expect(await file.load()).toEqual([]);
    await file.append([{ acc: 1 }]);
    file.close();
    const lines = (await readFile(path, 'utf8')).split('\n');
    expect(JSON.parse(lines[0]!)).toEqual({ schema: 'mixsga/samples@1', ...header, version: 2 });
    expect(lines.slice(1)).toEqual(['{"acc":1}', '']);
  });

  it('refuses samples where nobody asked to go on, and leaves them', async () => {
    await filled();
    const before = await readFile(path, 'utf8');
    expect(() => open(false)).toThrow(`${path}: holds 3 finished samples; add --resume to go on from them, or give another --out`);
    expect(await readFile(path, 'utf8')).toBe(before);
  });

  it.each<[string, SampleHeader, string]>([
    ['version', { ...header, version: 2 }, 'version was 1, is now 2'],
    ['model', { ...header, settings: { ...header.settings, model: 'xyz' } }, 'settings.model was "abc", is now "xyz"'],
    ['option', { ...header, settings: { model: 'abc', options: { routing: 'decode' } } }, 'settings.options.limit was 8, is now not set'],
  ])('refuses samples of another %s', async (_, asked, difference) => {
    await filled();
    expect(() => open(true, asked)).toThrow(ArgumentError);
    expect(() => open(true, asked)).toThrow(`${path}: holds samples of other settings: ${difference}; give the same, or another --out`);
  });

  it.each<[string, string, string]>([
    ['a line that is no object', `${JSON.stringify({ schema: 'mixsga/samples@1', ...header })}\n{"acc":1}\n7\n`, 'line 3: expected a JSON object, got 7'],
    ['a line that is no JSON', 'acc\n', 'line 1: expected a JSON object, got acc'],
    ['another file', '{"text": "x"}\n', 'expected samples of mixsga/samples@1, got undefined'],
  ])('refuses %s, and leaves it', async (_, content, message) => {
    await filled();
    await writeFile(path, content);
    expect(() => open(true)).toThrow(FileError);
    expect(() => open(true)).toThrow(`${path}: ${message}; remove the file to start anew`);
    expect(await readFile(path, 'utf8')).toBe(content);
  });
});
