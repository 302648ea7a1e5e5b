// Each component and option of a tokenizer.json, held to the ids of the Python tokenizers.
import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import fixture from '../fixtures/tokenizer-components.json';
import { createTokenizer } from './tokenizer';

interface Case {
  readonly model: keyof typeof fixture.models;
  readonly options?: object;
  readonly ids?: readonly string[];
  readonly decoded?: readonly string[];
  /** The field that the error names. */
  readonly refused?: string;
}

const { texts, models } = fixture;
const cases = Object.entries(fixture.cases as unknown as Record<string, Case>);
const jsonOf = ({ model, options, ids: _ids, decoded: _decoded, refused: _refused, ...parts }: Case) => ({ ...parts, model: { ...models[model], ...options } });

it('there are at least 60 tokenizers of 40 texts', () => {
  expect(cases.filter(([, { refused }]) => refused === undefined).length).toBeGreaterThanOrEqual(60);
  expect(texts.length).toBeGreaterThanOrEqual(40);
});

describe.each(cases.filter(([, { refused }]) => refused === undefined))('%s', (_, each) => {
  const tokenizer = createTokenizer(jsonOf(each));

  it('gives the ids of the Python tokenizers', () => {
    expect(texts.map((text) => [text, tokenizer.encode(text).join(' ')])).toEqual(texts.map((text, i) => [text, each.ids![i]]));
  });

  it.runIf(each.decoded)('gives their texts', () => {
    const ids = each.ids!.map((list) => list.split(' ').filter(Boolean).map(Number));
    expect(ids.map((list) => tokenizer.decode(list, { skipSpecialTokens: true }))).toEqual(each.decoded);
  });
});

describe('what is not implemented is refused by name', () => {
  it.each(cases.filter(([, { refused }]) => refused !== undefined))('%s', (_, each) => {
    expect(() => createTokenizer(jsonOf(each), 'm/tokenizer.json')).toThrow(FileError);
    expect(() => createTokenizer(jsonOf(each), 'm/tokenizer.json')).toThrow(`m/tokenizer.json: expected a tokenizer.json of Hugging Face tokenizers: ${each.refused}: expected `);
  });
});
