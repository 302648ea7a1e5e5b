import type { EvaluationTokenizer } from '../language-model';

export interface CharacterTokenizerOptions {
  /** The character of each token id. Default: `abc…`, from U+0061 on. Any other character c has the token c mod V. */
  readonly characters?: string;
  /** The token that is put before a text. Default: none. */
  readonly bos?: number;
}

/** A tokenizer of V tokens that takes every character (code point) for a token. */
export function characterTokenizer(vocabularySize: number, { characters, bos }: CharacterTokenizerOptions): EvaluationTokenizer {
  const texts = characters === undefined ? Array.from({ length: vocabularySize }, (_, id) => String.fromCodePoint(0x61 + id)) : [...characters];
  const ids = new Map(texts.map((text, id) => [text, id]));
  return {
    encode(text, { addSpecialTokens = true } = {}) {
      const tokens = Array.from(text, (character) => ids.get(character) ?? character.codePointAt(0)! % vocabularySize);
      return bos === undefined || !addSpecialTokens ? tokens : [bos, ...tokens];
    },
    decode: (tokens, { skipSpecialTokens = false } = {}) =>
      Array.from(tokens, (id) => (skipSpecialTokens && id === bos ? '' : (texts[id] ?? '\ufffd'))).join(''),
  };
}
