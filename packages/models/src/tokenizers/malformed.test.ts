// Files that are no tokenizer end in an error that names the field, and never in ids that are none.
import { FileError } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import fixture from '../fixtures/tokenizer-components.json';
import json from '../fixtures/tokenizer.json';
import { createTokenizer } from './tokenizer';

const BEFORE = 'm/tokenizer.json: expected a tokenizer.json of Hugging Face tokenizers: ';
const model = { type: 'WordLevel', unk_token: 'u', vocab: { a: 0, b: 1, u: 2 } };
const bpe = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] };
const split = (source: string) => ({ type: 'Split', pattern: { Regex: source }, behavior: 'Isolated', invert: false });
const create = (parts: unknown) => createTokenizer(parts, 'm/tokenizer.json');

describe('a malformed tokenizer.json', () => {
  it.each<[string, unknown, string]>([
    ['a behavior that is a number', { model, pre_tokenizer: { type: 'Sequence', pretokenizers: [{ ...split('a'), behavior: 1e9 }] } }, 'pre_tokenizer.pretokenizers.0.behavior: expected one of "Removed"'],
    ['an option that is a number', { model, pre_tokenizer: { type: 'ByteLevel', use_regex: 2147483648 } }, 'pre_tokenizer.use_regex: expected boolean, got 2147483648'],
    ['a model of no type', { model: { ...model, type: true } }, 'model.type: expected a type that is read here, got true'],
    ['a template with null', { model, post_processor: { type: 'TemplateProcessing', single: [null], special_tokens: {} } }, 'post_processor.single.0: '],
    ['a template of a token that is not there', { model, post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }], special_tokens: {} } }, 'post_processor.special_tokens: expected the token "<s>"'],
    ['a normalizer that is not read', { model, normalizer: { type: 'Sequence', normalizers: [{ type: 'Precompiled', precompiled_charsmap: '' }] } }, 'normalizer.normalizers.0.type: expected a type that is read here, got "Precompiled"'],
    ['an id that is none', { model: { ...model, vocab: { a: 0.5 } } }, 'model.vocab.a: expected an id, a whole number from 0 to 4194304, got 0.5'],
    ['ids beyond any vocabulary', { model: { ...bpe, vocab: { ...bpe.vocab, x: 2147483648 } } }, 'model.vocab.x: expected an id, a whole number from 0 to 4194304, got 2147483648'],
    ['an added token of such an id', { model, added_tokens: [{ id: 1e9, content: 'x' }] }, 'added_tokens.0.id: expected at most 4194304, got 1000000000'],
    ['an added token of another id than Python gives it', { model, added_tokens: [{ id: 9, content: 'x' }] }, 'added_tokens.0.id: expected 3, which follows from the vocabulary, got 9'],
    ['a merge of tokens that are none', { model: { ...bpe, merges: ['a c'] } }, 'model.merges.0: expected a token of the vocabulary, got "c"'],
    ['a merge into no token', { model: { ...bpe, merges: ['b a'] } }, 'model.merges.0: expected a token of the vocabulary, got "ba"'],
    ['a merge of three', { model: { ...bpe, merges: ['a b c'] } }, 'model.merges.0: expected two tokens, got "a b c"'],
    ['a dropout', { model: { ...bpe, dropout: 0.1 } }, 'model.dropout: expected none or 0, got 0.1'],
    ['an unknown token that is none', { model: { type: 'Unigram', vocab: [['a', 0]], unk_id: 7 } }, 'model.unk_id: expected an id below 1, got 7'],
    ['a word limit that takes for ever', { model: { ...model, type: 'WordPiece', continuing_subword_prefix: '##', max_input_chars_per_word: 1e9 } }, 'model.max_input_chars_per_word: expected at most 1000, got 1000000000'],
    ['a pattern that is none', { model, pre_tokenizer: split('(a') }, 'pre_tokenizer.pattern: expected a regular expression that is read here, got "(a"'],
    ['a prepend scheme against itself', { model, pre_tokenizer: { type: 'Metaspace', replacement: '▁', add_prefix_space: false, prepend_scheme: 'first' } }, 'pre_tokenizer.add_prefix_space: expected true with prepend_scheme first, got false'],
  ])('%s', (_, parts, message) => {
    expect(() => create(parts)).toThrow(FileError);
    expect(() => create(parts)).toThrow(BEFORE + message);
  });

  it('names the unknown token when a text needs it', () => {
    const tokenizer = create({ model: { ...model, unk_token: 'none' } });
    expect(tokenizer.encode('a')).toEqual([0]);
    expect(() => tokenizer.encode('c')).toThrow(`${BEFORE}model.unk_token: expected a token of the vocabulary, got "none"`);
  });

  it('nested without end is an error', () => {
    let normalizer: unknown = { type: 'NFC' };
    for (let i = 0; i < 20_000; i++) normalizer = { type: 'Sequence', normalizers: [normalizer] };
    expect(() => create({ model, normalizer })).toThrow(FileError);
  });
});

it('a file that does not say which model it has is read as Python reads it', () => {
  const { type: _, ...untyped } = bpe;
  expect(create({ model: untyped }).encode('ab')).toEqual([2]);
});

describe('a pattern that goes back for ever elsewhere', () => {
  it.each(['(a+)+$', '(?:a|a)*b$', '(a*)*c'])('%s splits in time', (source) => {
    const parts = { ...json, pre_tokenizer: { type: 'Sequence', pretokenizers: [split(source), { type: 'ByteLevel', use_regex: false, add_prefix_space: false }] } };
    const tokenizer = create(parts);
    const text = `${'a'.repeat(40)}!`;
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
  });

  it('is an error where no engine is quick', () => {
    expect(() => create({ model, pre_tokenizer: split('a.*b|a') }).encode('a'.repeat(20_000))).toThrow(`${BEFORE}pre_tokenizer.pattern: expected a regular expression`);
  });
});

it('replacements that double a text again and again are an error', () => {
  const double = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
  const tokenizer = create({ model, normalizer: { type: 'Sequence', normalizers: Array.from({ length: 60 }, () => double) } });
  expect(() => tokenizer.encode('a')).toThrow('normalizer.normalizers.22.content: expected texts of at most 4194304 characters');
});

it('an id without a token is no text, also where there is an unknown token', () => {
  const tokenizer = create({ model });
  expect(tokenizer.decode([0, 3, 1, 99])).toBe('a b');
});

it('a file of which something was changed gives ids, or a FileError', () => {
  const whole = { ...json, added_tokens: json.added_tokens, normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { Regex: 'a+b' }, content: 'x' }] } };
  const small = Object.values(fixture.cases as Record<string, { model: keyof typeof fixture.models }>)
    .filter((each) => ['tiny', 'prefixed', 'word_piece', 'unigram', 'word_level'].includes(each.model))
    .map(({ model: name, ...parts }) => ({ ...parts, model: fixture.models[name] }));
  const anything = fc.oneof(fc.constantFrom(null, true, -1, 0, 0.5, 2 ** 31, '', 'a', [], {}, [null], { type: 'Sequence' }), fc.string({ maxLength: 3 }));
  let refused = 0;
  fc.assert(
    fc.property(fc.constantFrom<unknown>(whole, ...small), fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), anything, (parts, way, value) => {
      try {
        const ids = create(changed(parts, way, value)).encode('ab a<s>\u00e9 the theory x');
        expect(ids.filter((id) => !Number.isInteger(id) || id < 0)).toEqual([]);
      } catch (error) {
        if (!FileError.isInstance(error)) throw error;
        refused++;
      }
    }),
    { seed: 7, numRuns: 800 },
  );
  expect(refused).toBeGreaterThan(100);
});

/** A copy in which the value at the end of a way, a number for each level, is another. */
function changed(value: unknown, [step, ...way]: readonly number[], replacement: unknown): unknown {
  if (step === undefined || typeof value !== 'object' || value === null) return replacement;
  const keys = Object.keys(value);
  if (keys.length === 0) return replacement;
  const at = keys[step % keys.length]!;
  const next = changed((value as Record<string, unknown>)[at], way, replacement);
  return Array.isArray(value) ? value.map((each, i) => (String(i) === at ? next : (each as unknown))) : { ...value, [at]: next };
}
