import { byteCharacters } from './bytes';
import { createMatcher, GPT_2_WORDS, type Matcher } from './patterns';
import type { Behavior, Fail, PreTokenizerSpec } from './schema';

/** A part of a text that no token goes beyond. */
export interface Piece {
  readonly text: string;
  /** Whether the whole text begins with it. */
  readonly first: boolean;
}

export type PreTokenizer = (piece: Piece) => Piece[];

const WORDS = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;
const WHITE_SPACE = /\p{White_Space}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/** @param field of the tokenizer.json that it is from */
export function createPreTokenizer(spec: PreTokenizerSpec, field: string, fail: Fail): PreTokenizer {
  switch (spec.type) {
    case 'Sequence': {
      const all = spec.pretokenizers.map((each, i) => createPreTokenizer(each, `${field}.pretokenizers.${i}`, fail));
      return (piece) => all.reduce((pieces, preTokenize) => pieces.flatMap(preTokenize), [piece]);
    }
    case 'Split':
      return splitting(createMatcher(spec.pattern, `${field}.pattern`, fail), spec.behavior, spec.invert);
    case 'CharDelimiterSplit':
      return splitting(createMatcher({ String: spec.delimiter }, `${field}.delimiter`, fail), 'Removed');
    case 'Whitespace':
      return splitting(every(WORDS), 'Removed', true);
    case 'WhitespaceSplit':
      return splitting(every(WHITE_SPACE), 'Removed');
    case 'Punctuation':
      return splitting(every(PUNCTUATION), spec.behavior ?? 'Isolated');
    case 'Digits':
      return splitting(every(/\p{N}/gu), spec.individual_digits ? 'Isolated' : 'Contiguous');
    case 'BertPreTokenizer': {
      const [words, marks] = [splitting(every(WHITE_SPACE), 'Removed'), splitting(every(PUNCTUATION), 'Isolated')];
      return (piece) => words(piece).flatMap(marks);
    }
    case 'FixedLength':
      return splitting(every(new RegExp(`[^]{1,${spec.length}}`, 'gu')), 'Isolated');
    case 'Metaspace':
      return metaspace(spec, field, fail);
    case 'ByteLevel':
      return byteLevel(spec, field, fail);
  }
}

function every(regex: RegExp): Matcher {
  return (text) => Array.from(text.matchAll(regex), (match) => [match.index, match.index + match[0].length]);
}

/** Cuts a text where a pattern matches; `behavior` says what becomes of the matches, and `invert` swaps them with the rest. */
function splitting(matcher: Matcher, behavior: Behavior, invert = false): PreTokenizer {
  return (piece) => {
    const parts = partsOf(piece.text, matcher, invert);
    const kept = behavior === 'Removed' ? parts.filter(({ isMatch }) => !isMatch) : merge(parts, behavior);
    return kept
      .filter(({ begin, end }) => begin < end)
      .map(({ begin, end }) => ({ text: piece.text.slice(begin, end), first: piece.first && begin === 0 }));
  };
}

interface Part {
  readonly begin: number;
  end: number;
  readonly isMatch: boolean;
}

function partsOf(text: string, matcher: Matcher, invert: boolean): Part[] {
  const parts: Part[] = [];
  let from = 0;
  for (const [begin, end] of matcher(text)) {
    if (from < begin) parts.push({ begin: from, end: begin, isMatch: invert });
    parts.push({ begin, end, isMatch: !invert });
    from = end;
  }
  if (from < text.length || text === '') parts.push({ begin: from, end: text.length, isMatch: invert });
  return parts;
}

function merge(parts: readonly Part[], behavior: Exclude<Behavior, 'Removed'>): Part[] {
  if (behavior === 'Isolated') return [...parts];
  if (behavior === 'MergedWithNext') {
    const merged: { begin: number; end: number; isMatch: boolean }[] = [];
    let wasMatch = false;
    for (const part of [...parts].reverse()) {
      const last = merged.at(-1);
      if (part.isMatch && !wasMatch && last) last.begin = part.begin;
      else merged.push({ ...part });
      wasMatch = part.isMatch;
    }
    return merged.reverse();
  }
  const merged: Part[] = [];
  let wasMatch = false;
  for (const part of parts) {
    const last = merged.at(-1);
    const joins = behavior === 'Contiguous' ? part.isMatch === wasMatch : part.isMatch && !wasMatch;
    if (joins && last) last.end = part.end;
    else merged.push({ ...part });
    wasMatch = part.isMatch;
  }
  return merged;
}

function metaspace(spec: PreTokenizerSpec & { type: 'Metaspace' }, field: string, fail: Fail): PreTokenizer {
  const { replacement, split = true } = spec;
  const scheme = schemeOf(spec, field, fail);
  const cut = split ? splitting(createMatcher({ String: replacement }, field, fail), 'MergedWithNext') : (piece: Piece) => [piece];
  return ({ text, first }) => {
    const replaced = text.replaceAll(' ', () => replacement);
    const prepends = !replaced.startsWith(replacement) && (scheme === 'always' || (scheme === 'first' && first));
    return cut({ text: prepends ? replacement + replaced : replaced, first });
  };
}

/** Old files say `add_prefix_space`, which may be false; new ones `prepend_scheme`. */
export function schemeOf(
  spec: { readonly prepend_scheme?: 'always' | 'never' | 'first' | undefined; readonly add_prefix_space?: boolean | undefined }, field: string, fail: Fail,
): 'always' | 'never' | 'first' {
  if (spec.add_prefix_space !== false) return spec.prepend_scheme ?? 'always';
  if ((spec.prepend_scheme ?? 'never') !== 'never') fail(`${field}.add_prefix_space`, `expected true with prepend_scheme ${spec.prepend_scheme}, got false`);
  return 'never';
}

function byteLevel(spec: PreTokenizerSpec & { type: 'ByteLevel' }, field: string, fail: Fail): PreTokenizer {
  const { add_prefix_space: addPrefixSpace = false, use_regex: useRegex = true } = spec;
  const cut = useRegex ? splitting(createMatcher({ Regex: GPT_2_WORDS }, field, fail), 'Isolated') : (piece: Piece) => [piece];
  return ({ text, first }) => {
    const whole = addPrefixSpace && !text.startsWith(' ') ? ` ${text}` : text;
    return cut({ text: whole, first }).map((piece) => ({ ...piece, text: byteCharacters(piece.text) }));
  };
}
