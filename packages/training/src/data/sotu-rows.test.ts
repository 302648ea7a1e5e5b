import { createHash } from 'node:crypto';
import { loadTokenizer, resolveModel } from '@mixsga/models';
import { describe, expect, test } from 'vitest';
import { type SotuSet, sotuRows } from './sotu-rows';
import { readSotu } from './sotu';
import { PART_NAMES, splitAddresses } from './split';

const digest = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);

interface Instruction { instruction: string; context: string; response: string; category: string }
interface Choice { ctx: string; endings: string[]; label: string }

const values = async <T>(set: SotuSet, part: (typeof PART_NAMES)[number]) => (await sotuRows(set, part)).map(({ value }) => value as T);

describe('data sets of the embedded corpus', () => {
  test('are the same on every machine', async () => {
    const sizes = await Promise.all(
      (['instructions', 'hellaswag', 'wikitext'] as const).map(async (set) =>
        Promise.all(PART_NAMES.map(async (part) => {
          const rows = await sotuRows(set, part);
          return `${rows.length} ${digest(rows)}`;
        })),
      ),
    );
    expect(sizes).toMatchInlineSnapshot(`
      [
        [
          "2000 f11048eb7695",
          "200 759b97e9c4ed",
          "200 32a1882c06fe",
        ],
        [
          "2000 a2d49366f24c",
          "1000 30cbb78f2bf1",
          "1000 efa71aadd41d",
        ],
        [
          "199 dc95ed471041",
          "22 a66fca06b13d",
          "12 de9c5ad78e97",
        ],
      ]
    `);
  });

  test('no part has text of another', async () => {
    const addresses = splitAddresses(await readSotu());
    for (const part of ['validation', 'test'] as const) {
      const text = addresses[part].map((address) => address.text.replace(/\s+/g, ' ')).join(' ');
      for (const { ctx, endings } of await values<Choice>('hellaswag', part)) {
        for (const piece of [ctx, ...endings]) expect(text).toContain(piece);
      }
      for (const row of await values<Instruction>('instructions', part)) {
        if (row.category === 'continuation') expect(text).toContain(`${row.context} ${row.response}`);
      }
    }
  });

  test('six kinds of instruction', async () => {
    const rows = await values<Instruction>('instructions', 'train');
    const counts: Record<string, number> = {};
    for (const { category } of rows) counts[category] = (counts[category] ?? 0) + 1;
    expect(counts).toMatchInlineSnapshot(`
      {
        "continuation": 394,
        "decade": 395,
        "opening": 43,
        "party": 373,
        "president": 385,
        "word": 410,
      }
    `);
    expect(new Set(rows.map(({ instruction, context }) => instruction + context)).size).toBe(rows.length);
    expect(rows.find(({ response }) => response.includes('Kinley'))!.response).toBe('William McKinley');
    const cloze = rows.find(({ category }) => category === 'word')!;
    expect(cloze.context.split('____')).toHaveLength(2);
  });

  test('the right ending follows the passage, and its place is even', async () => {
    const rows = await values<Choice>('hellaswag', 'validation');
    const places = [0, 0, 0, 0];
    for (const { label } of rows) places[Number(label)]! += 1;
    expect(Math.min(...places)).toBeGreaterThan(210);
    for (const { endings, label } of rows) {
      expect(new Set(endings).size).toBe(4);
      const right = endings[Number(label)]!.length;
      for (const ending of endings) expect(Math.abs(ending.length - right)).toBeLessThanOrEqual(0.2 * right);
    }
  });

  test('instructions in their template fit 256 tokens', async () => {
    const tokenizer = await loadTokenizer((await resolveModel('sotu-mini')).directory);
    const template = ({ instruction, context }: Instruction) =>
      `Below is an instruction that describes a task${context && ', paired with an input that provides further context'}. ` +
      `Write a response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n${context && `### Input:\n${context}\n\n`}### Response:\n`;
    for (const part of PART_NAMES) {
      const lengths = (await values<Instruction>('instructions', part)).map((row) => tokenizer.encode(template(row) + row.response).length + 1);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(256);
    }
  });
});
