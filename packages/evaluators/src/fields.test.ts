import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { fieldsOf, shown } from './fields';

describe('a value in a message', () => {
  it('is JSON, of which 60 characters are shown', () => {
    expect([undefined, null, 7, 7n, NaN, Infinity, 'a', [1], { a: 1 }].map(shown)).toEqual(['nothing', 'null', '7', '7', 'NaN', 'Infinity', '"a"', '[1]', '{"a":1}']);
    expect(shown('x'.repeat(58))).toBe(`"${'x'.repeat(58)}"`);
    expect(shown('x'.repeat(59))).toBe(`"${'x'.repeat(59)}…`);
  });
});

describe('the fields of a row', () => {
  const where = 'rows.jsonl: line 3';
  const fields = fieldsOf({ value: { a: 'x', list: ['y', 'z'], none: [], mixed: ['y', 1], inner: { b: 'w', list: 3 } }, where });

  it('are read by their kind', () => {
    expect([fields.text('a'), fields.texts('list'), fields.object('inner').text('b')]).toEqual(['x', ['y', 'z'], 'w']);
    expect(fields.all).toHaveProperty('a', 'x');
  });

  it.each<[string, () => unknown, string]>([
    ['a text that is missing', () => fields.text('b'), "expected a text in 'b', got nothing"],
    ['a list for a text', () => fields.text('list'), `expected a text in 'list', got ["y","z"]`],
    ['no list', () => fields.texts('a'), `expected a list of texts in 'a', got "x"`],
    ['an empty list', () => fields.texts('none'), "expected a list of texts in 'none', got []"],
    ['a list of others too', () => fields.texts('mixed'), `expected a list of texts in 'mixed', got ["y",1]`],
    ['no object', () => fields.object('a'), `expected an object in 'a', got "x"`],
    ['a list for an object', () => fields.object('list'), `expected an object in 'list', got ["y","z"]`],
    ['a field of a field', () => fields.object('inner').texts('list'), "expected a list of texts in 'inner.list', got 3"],
    ['a row of null', () => fieldsOf({ value: null, where }), 'expected an object, got null'],
    ['a row that is a list', () => fieldsOf({ value: [1], where }), 'expected an object, got [1]'],
  ])('refuse %s', (_, read, message) => expect(read).toThrow(new FileError(where, message)));
});
