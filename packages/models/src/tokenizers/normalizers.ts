import { byteCharacters } from './bytes';
import { createMatcher, replaceMatches } from './patterns';
import type { Fail, NormalizerSpec } from './schema';

export type Normalizer = (text: string) => string;

/** @param field of the tokenizer.json that it is from */
export function createNormalizer(spec: NormalizerSpec, field: string, fail: Fail): Normalizer {
  switch (spec.type) {
    case 'Sequence': {
      const all = spec.normalizers.map((each, i) => createNormalizer(each, `${field}.normalizers.${i}`, fail));
      return (text) => all.reduce((result, normalize) => normalize(result), text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(spec.type);
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'Strip':
      return (text) => strip(text, spec.strip_left, spec.strip_right);
    case 'Prepend':
      return (text) => (text === '' ? '' : spec.prepend + text);
    case 'ByteLevel':
      return byteCharacters;
    case 'Replace': {
      const matcher = createMatcher(spec.pattern, `${field}.pattern`, fail);
      return (text) => replaceMatches(text, matcher, spec.content, `${field}.content`, fail);
    }
    case 'BertNormalizer':
      return (text) => bert(text, spec);
  }
}

/** Character by character, as Rust has it: JavaScript looks at the letters around a sigma. */
function lowercase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

function strip(text: string, left: boolean, right: boolean): string {
  const begun = left ? text.replace(/^\p{White_Space}+/u, '') : text;
  if (!right) return begun;
  let end = begun.length;
  while (end > 0 && /\p{White_Space}/u.test(begun[end - 1]!)) end--;
  return begun.slice(0, end);
}

function bert(text: string, spec: NormalizerSpec & { type: 'BertNormalizer' }): string {
  let result = text;
  if (spec.clean_text) result = result.replace(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu, '').replace(/\p{White_Space}/gu, ' ');
  if (spec.handle_chinese_chars) result = result.replace(CHINESE, ' $& ');
  if (spec.strip_accents ?? spec.lowercase) result = result.normalize('NFD').replace(/\p{Mn}/gu, '');
  return spec.lowercase ? lowercase(result) : result;
}

/** As BERT has them, with the gap that Python's tokenizers have before U+2B920. */
const CHINESE = /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
