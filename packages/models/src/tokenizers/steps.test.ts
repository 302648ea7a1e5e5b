import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import gemma2 from '../fixtures/tokenizers/gemma-2.json';
import llama2 from '../fixtures/tokenizers/llama-2.json';
import llama2Metaspace from '../fixtures/tokenizers/llama-2-metaspace.json';
import llama3 from '../fixtures/tokenizers/llama-3.json';
import opt from '../fixtures/tokenizers/opt.json';
import smollm from '../fixtures/tokenizers/smollm.json';
import expected from '../fixtures/tokenizers/expected.json';
import components from '../fixtures/tokenizer-components.json';
import { createTokenizer } from './tokenizer';
import { atOnce, inSlices, inTurns, STEP } from './steps';

const published = { 'gemma-2': gemma2, 'llama-2': llama2, 'llama-2-metaspace': llama2Metaspace, 'llama-3': llama3, opt, smollm };

interface Case {
  readonly model: keyof typeof components.models;
  readonly options?: object;
  readonly ids?: unknown;
  readonly decoded?: unknown;
  readonly refused?: string;
}

/** Each step becomes a turn, as on a machine that is slow. */
function slowMachine(): void {
  let now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000));
}

afterEach(() => void vi.restoreAllMocks());

describe('encodeLong', () => {
  it.each(Object.entries(published))('of %s gives the ids of encode, with turns on the way and how much is done', async (_, json) => {
    const tokenizer = createTokenizer(json);
    for (const text of expected.texts) {
      for (const addSpecialTokens of [true, false]) {
        expect(await tokenizer.encodeLong(text, { addSpecialTokens })).toEqual(tokenizer.encode(text, { addSpecialTokens }));
      }
    }
    const text = `${expected.texts.join(' ')}\n`.repeat(20);
    slowMachine();
    const done: number[] = [];
    expect(await tokenizer.encodeLong(text, { onProgress: (share) => done.push(share) })).toEqual(tokenizer.encode(text));
    expect(done.length).toBeGreaterThan((3 * text.length) / STEP);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBeGreaterThan(0.9);
    expect(done.at(-1)).toBeLessThanOrEqual(1);
  });

  it('of every component gives the ids of encode', async () => {
    const text = components.texts.join(' ');
    const cases = Object.values(components.cases as unknown as Record<string, Case>).filter(({ refused }) => refused === undefined);
    expect(cases.length).toBeGreaterThan(60);
    for (const { model, options, ids: _ids, decoded: _decoded, refused: _refused, ...parts } of cases) {
      const tokenizer = createTokenizer({ ...parts, model: { ...components.models[model], ...options } });
      const sync = outcome(() => tokenizer.encode(text));
      slowMachine();
      expect(await tokenizer.encodeLong(text).catch(String)).toEqual(sync);
      vi.restoreAllMocks();
    }
  });

  // A whole text is one piece for Llama 2's BPE, and for a unigram model.
  const unigram = {
    ...llama2, normalizer: null,
    model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ...Array.from('abcdefghij', (letter, i) => [letter, -1 - i])] }, added_tokens: [],
    post_processor: null,
  };
  it.each([['llama-2', llama2, 4], ['a unigram model', unigram, 3.5]] as const)('of %s has turns within a word of any length', async (_, json, timesEach) => {
    const tokenizer = createTokenizer(json);
    const text = 'abcdefghij'.repeat(5000);
    slowMachine();
    let turns = 0;
    await tokenizer.encodeLong(text, { onProgress: () => turns++ });
    expect(turns).toBeGreaterThan((timesEach * text.length) / STEP);
  });

  it('stops at the first turn after it is aborted, and before any work when it is aborted already', async () => {
    const tokenizer = createTokenizer(opt);
    const text = 'The state of the Union is strong. '.repeat(3000);
    slowMachine();
    for (const at of [1, 30, 60]) {
      const controller = new AbortController();
      let turns = 0;
      const onProgress = () => {
        if (++turns === at) controller.abort(new Error('enough'));
      };
      await expect(tokenizer.encodeLong(text, { signal: controller.signal, onProgress })).rejects.toThrow('enough');
      expect(turns).toBe(at);
    }
    function* steps(): Generator<undefined, never, undefined> {
      throw new Error('worked');
    }
    await expect(inTurns(steps(), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

describe('inSlices', () => {
  const marks = fc.constantFrom('e', '\u0301', '\u0327', 'か', '\u3099', 'ᄀ', 'ᅡ', 'ᆨ', '中', 'ﬁ', '한', 'Σ', '👍', '\ud83d', '\n', 'İ', 'க', 'ா');
  it.each(['NFC', 'NFD', 'NFKC', 'NFKD'] as const)('changes nothing of %s', (form) => {
    fc.assert(fc.property(fc.array(marks, { maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (characters, least) => {
      const text = characters.join('');
      expect(atOnce(inSlices(text, (slice) => slice.normalize(form), least))).toBe(text.normalize(form));
    }));
  });

  it('never parts the halves of a character', () => {
    const parts: string[] = [];
    atOnce(inSlices('👍👍a👍中', (slice) => (parts.push(slice), slice), 1));
    expect(parts).toEqual(['👍👍', 'a👍', '中']);
  });
});

function outcome(encode: () => number[]): number[] | string {
  try {
    return encode();
  } catch (error) {
    return String(error);
  }
}
