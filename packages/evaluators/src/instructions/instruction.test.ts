import { FileError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { formatPrompt, parseInstruction } from './instruction';

const row = (value: unknown) => ({ value, where: 'data.jsonl: line 3' });
const parse = (value: unknown) => parseInstruction(row(value));

describe('formatPrompt', () => {
  it('is the template of MiniLLM to the byte', () => {
    expect(formatPrompt({ instruction: 'Name $& a {colour}.', input: '' })).toBe(
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.' +
        '\n\n### Instruction:\nName $& a {colour}.\n\n### Response:\n',
    );
    expect(formatPrompt({ instruction: 'Sum up.', input: ' One.\nTwo. ' })).toBe(
      'Below is an instruction that describes a task, paired with an input that provides further context. ' +
        'Write a response that appropriately completes the request.' +
        '\n\n### Instruction:\nSum up.\n\n### Input:\n One.\nTwo. \n\n### Response:\n',
    );
  });
});

describe('parseInstruction', () => {
  it.each<[string, unknown, unknown]>([
    ['Dolly', { instruction: 'I', context: 'C', response: 'R', category: 'closed_qa' }, { instruction: 'I', input: 'C', responses: ['R'], category: 'closed_qa' }],
    ['Alpaca', { instruction: 'I', input: '', output: 'O' }, { instruction: 'I', input: '', responses: ['O'] }],
    ['no input', { instruction: 'I', context: null, response: '' }, { instruction: 'I', input: '', responses: [''] }],
    ['Self-Instruct', { id: 'x', motivation_app: 'G', instruction: 'I', instances: [{ input: 'N', output: 'O' }] }, { instruction: 'I', input: 'N', responses: ['O'] }],
    ['MiniLLM', { instruction: 'I', prompt: 'Below …', input: 'N', output: ['A', 'B'] }, { instruction: 'I', input: 'N', responses: ['A', 'B'] }],
    ['a prompt', { prompt: 'Say it.', output: 'O' }, { instruction: 'Say it.', input: '', responses: ['O'] }],
  ])('reads %s', (_, value, expected) => {
    expect(parse(value)).toEqual(expected);
  });

  it('takes a prompt out of the template', () => {
    for (const task of [{ instruction: 'Sum up.\n\nNow.', input: '' }, { instruction: 'I', input: 'a\n\n### Input:\nb' }]) {
      expect(parse({ prompt: formatPrompt(task), output: 'O' })).toEqual({ ...task, responses: ['O'] });
    }
  });

  it.each([['text', { text: 'How?', category: 'fermi', question_id: 1 }], ['question', { question: 'How?', category: 'fermi' }]])(
    'reads Vicuna (%s), where a response is optional',
    (_, value) => {
      expect(parseInstruction(row(value), { responses: 'optional' })).toEqual({ instruction: 'How?', input: '', responses: [], category: 'fermi' });
      expect(() => parse(value)).toThrow("data.jsonl: line 3: expected a response in field 'output', 'response', got '");
    },
  );

  it.each<[unknown, string]>([
    [null, 'expected a row to be an object with fields, got null'],
    [['a'], 'expected a row to be an object with fields, got a list'],
    ['a', 'expected a row to be an object with fields, got a string'],
    [{ output: 'O' }, "expected an instruction in field 'instruction', 'prompt', 'text', 'question', got 'output'"],
    [{}, "expected an instruction in field 'instruction', 'prompt', 'text', 'question', got none"],
    [{ instruction: ' \n', output: 'O' }, 'instruction: expected an instruction, got an empty text'],
    [{ instruction: 7, output: 'O' }, 'instruction: expected a text, got a number'],
    [{ instruction: 'I', context: ['C'], response: 'R' }, 'context: expected a text, got a list'],
    [{ instruction: 'I', input: 'N' }, "expected a response in field 'output', 'response', got 'instruction', 'input'"],
    [{ instruction: 'I', output: [] }, "expected a response in field 'output', 'response', got 'instruction', 'output'"],
    [{ instruction: 'I', output: ['a', 2] }, 'output: expected a text or a list of texts, got a list with a number'],
    [{ instruction: 'I', response: { text: 'R' } }, 'response: expected a text or a list of texts, got an object'],
    [{ instruction: 'I', instances: [] }, 'instances: expected a list of 1 instance, got 0; split the row'],
    [{ instruction: 'I', instances: [{}, {}, {}] }, 'instances: expected a list of 1 instance, got 3; split the row'],
    [{ instruction: 'I', instances: 'O' }, 'instances: expected a list of 1 instance, got a string; split the row'],
    [{ instruction: 'I', instances: [null] }, 'expected instances[0] to be an object with fields, got null'],
  ])('refuses %j, naming row and field', (value, message) => {
    expect(() => parse(value)).toThrow(FileError);
    expect(() => parse(value)).toThrow(`data.jsonl: line 3: ${message}`);
  });
});
