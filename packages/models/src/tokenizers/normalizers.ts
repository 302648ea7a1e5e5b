import { byteCharacters } from './bytes';
import { createMatcher, replaceMatches } from './patterns';
import type { Fail, NormalizerSpec } from './schema';
import { inSlices, type Steps } from './steps';

export type Normalizer = (text: string) => Steps<string>;

/** @param field of the tokenizer.json that it is from */
export function createNormalizer(spec: NormalizerSpec, field: string, fail: Fail): Normalizer {
  switch (spec.type) {
    case 'Sequence': {
      const all = spec.normalizers.map((each, i) => createNormalizer(each, `${field}.normalizers.${i}`, fail));
      return function* (text) {
        let result = text;
        for (const normalize of all) result = yield* normalize(result);
        return result;
      };
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => inSlices(text, (slice) => slice.normalize(spec.type));
    case 'Lowercase':
      return (text) => inSlices(text, lowercase);
    case 'StripAccents':
      return (text) => inSlices(text, (slice) => slice.replace(/\p{M}/gu, ''));
    case 'Strip':
      return whole((text) => strip(text, spec.strip_left, spec.strip_right));
    case 'Prepend':
      return whole((text) => (text === '' ? '' : spec.prepend + text));
    case 'ByteLevel':
      return (text) => inSlices(text, byteCharacters);
    case 'Replace': {
      const matcher = createMatcher(spec.pattern, `${field}.pattern`, fail);
      return (text) => replaceMatches(text, matcher, spec.content, `${field}.content`, fail);
    }
    case 'BertNormalizer':
      return (text) => inSlices(text, (slice) => bert(slice, spec));
  }
}

/** What looks at the ends of a text alone. */
function whole(change: (text: string) => string): Normalizer {
   
  return function* (text) {
    return change(text);
  };
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
