import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { encodeInstruction, encodePrompt } from './encode';
import { formatPrompt } from './instruction';

/** Code points, after BOS; a line break and an x are one token together. */
const tokenizer = {
  encode(text: string, { addSpecialTokens = true } = {}) {
    const tokens = Array.from(text.replaceAll('\nx', '\ue000'), (character) => character.codePointAt(0)!);
    return addSpecialTokens ? [1, ...tokens] : tokens;
  },
  decode: (ids: ArrayLike<number>) => String.fromCodePoint(...Array.from(ids)),
};
const EOS = 2;
const task = { instruction: 'Count.', input: '', responses: ['one two', 'three'] };
const template = formatPrompt(task);
const codes = (text: string) => Array.from(text, (character) => character.codePointAt(0)!);

describe('encodeInstruction', () => {
  it('gives the prompt without special tokens, and the first response with EOS', () => {
    expect(encodeInstruction(tokenizer, task, { eos: EOS })).toEqual({
      prompt: codes(template),
      promptCut: false,
      response: [...codes('one two'), EOS],
    });
  });

  it('tokenises both together and splits where the prompt ends', () => {
    const { prompt, response } = encodeInstruction(tokenizer, { ...task, responses: ['xyz'] }, { eos: EOS });
    expect(prompt).toEqual(codes(template));
    expect(response).toEqual([...codes('yz'), EOS]);
  });

  it('cuts the prompt to its first tokens, and the response to what is left, without EOS', () => {
    const cut = encodeInstruction(tokenizer, task, { eos: EOS, maxPromptTokens: 10, maxTokens: 15 });
    expect(cut).toEqual({ prompt: codes('Below is a'), promptCut: true, response: codes('one t') });
    const long = encodeInstruction(tokenizer, { ...task, input: 'b'.repeat(300), responses: ['a'.repeat(600)] }, { eos: EOS });
    expect([long.prompt.length, long.response]).toEqual([256, codes('a'.repeat(256))]);
  });

  it('refuses an instruction without a response, and lengths that leave no place', () => {
    expect(() => encodeInstruction(tokenizer, { ...task, responses: [] }, { eos: EOS })).toThrow('expected an instruction with a response, got none');
    for (const maxPromptTokens of [1, 14]) expect(encodeInstruction(tokenizer, task, { eos: EOS, maxPromptTokens, maxTokens: 15 }).prompt).toHaveLength(maxPromptTokens);
    for (const maxPromptTokens of [0, 512]) {
      expect(() => encodeInstruction(tokenizer, task, { eos: EOS, maxPromptTokens })).toThrow(ArgumentError);
    }
  });
});

describe('encodePrompt', () => {
  it('is the prompt that was trained on', () => {
    expect(encodePrompt(tokenizer, task)).toEqual({ prompt: codes(template), promptCut: false });
    expect(encodePrompt(tokenizer, task, 20)).toEqual({ prompt: codes(template).slice(0, 20), promptCut: true });
    expect(encodePrompt(tokenizer, task, template.length).promptCut).toBe(false);
  });
});
