import { byteOfToken, bytesOf } from './bytes';
import { createMatcher, replaceMatches } from './patterns';
import { atOnce } from './steps';
import { schemeOf } from './pre-tokenizers';
import type { DecoderSpec, Fail } from './schema';

/** Turns tokens into parts of a text. */
export type Decoder = (tokens: readonly string[]) => string[];

/** Bytes that are not UTF-8 become U+FFFD; U+FEFF at the beginning is kept. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** @param field of the tokenizer.json that it is from */
export function createDecoder(spec: DecoderSpec, field: string, fail: Fail): Decoder {
  switch (spec.type) {
    case 'Sequence': {
      const all = spec.decoders.map((each, i) => createDecoder(each, `${field}.decoders.${i}`, fail));
      return (tokens) => all.reduce<string[]>((parts, decode) => decode(parts), [...tokens]);
    }
    case 'ByteLevel':
      return (tokens) => [utf8.decode(Uint8Array.from(tokens.flatMap((token) => Array.from(bytesOf(token)))))];
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Metaspace': {
      const keepsFirst = schemeOf(spec, field, fail) === 'never';
      return (tokens) => tokens.map((token, i) => token.replaceAll(spec.replacement, i === 0 && !keepsFirst ? '' : ' '));
    }
    case 'WordPiece':
      return (tokens) => tokens.map((token, i) => cleaned(i === 0 ? token : afterPrefix(token, spec.prefix), spec.cleanup));
    case 'BPEDecoder':
      return (tokens) => tokens.map((token, i) => token.replaceAll(spec.suffix, i === tokens.length - 1 ? '' : ' '));
    case 'CTC':
      return (tokens) => ctc(tokens, spec);
    case 'Replace': {
      const matcher = createMatcher(spec.pattern, `${field}.pattern`, fail);
      return (tokens) => tokens.map((token) => atOnce(replaceMatches(token, matcher, spec.content, `${field}.content`, fail)));
    }
    case 'Strip':
      return (tokens) => tokens.map((token) => stripped(token, spec));
  }
}

/** Runs of byte tokens become the text that they are, whole characters beside half ones kept. */
function byteFallback(tokens: readonly string[]): string[] {
  const parts: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) parts.push(utf8.decode(Uint8Array.from(bytes)));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte !== undefined) {
      bytes.push(byte);
      continue;
    }
    flush();
    parts.push(token);
  }
  flush();
  return parts;
}

function afterPrefix(token: string, prefix: string): string {
  return token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
}

/** Spaces that tokenization put before punctuation and contractions go. */
function cleaned(text: string, cleanup: boolean): string {
  if (!cleanup) return text;
  const pairs = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", ' do not', " 's", " 've", " 're"];
  return pairs.reduce((result, each) => result.replaceAll(each, each === ' do not' ? " don't" : each.trim()), text);
}

function ctc(tokens: readonly string[], spec: DecoderSpec & { type: 'CTC' }): string[] {
  return tokens
    .filter((token, i) => token !== tokens[i - 1])
    .map((token) => {
      const text = token.replaceAll(spec.pad_token, '');
      return spec.cleanup ? cleaned(text, true).replaceAll(spec.word_delimiter_token, ' ') : text;
    })
    .filter((text) => text !== '');
}

function stripped(token: string, { content, start, stop }: DecoderSpec & { type: 'Strip' }): string {
  const characters = Array.from(token);
  let begin = 0;
  while (begin < start && characters[begin] === content) begin++;
  let end = characters.length;
  while (end > characters.length - stop && end > 0 && characters[end - 1] === content) end--;
  return characters.slice(begin, Math.max(begin, end)).join('');
}
