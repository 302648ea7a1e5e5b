import { byteCharacters } from './bytes';
import { createMatcher, everyMatch, GPT_2_WORDS, type Matcher } from './patterns';
import type { Behavior, Fail, PreTokenizerSpec } from './schema';
import { inSlices, type Stream } from './steps';

/** A part of a text that no token goes beyond. */
export interface Piece {
  readonly text: string;
  /** Whether the whole text begins with it. */
  readonly first: boolean;
}

/** Pieces of a piece, one by one. */
export type PreTokenizer = (piece: Piece) => Stream<Piece>;

const WORDS = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;
const WHITE_SPACE = /\p{White_Space}/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/** Gives a piece as it is. */
export function* unsplit(piece: Piece): Stream<Piece> {
  yield piece;
}

/** @param field of the tokenizer.json that it is from */
export function createPreTokenizer(spec: PreTokenizerSpec, field: string, fail: Fail): PreTokenizer {
  switch (spec.type) {
    case 'Sequence': {
      const all = spec.pretokenizers.map((each, i) => createPreTokenizer(each, `${field}.pretokenizers.${i}`, fail));
      return inSequence(all);
    }
    case 'Split':
      return splitting(createMatcher(spec.pattern, `${field}.pattern`, fail), spec.behavior, spec.invert);
    case 'CharDelimiterSplit':
      return splitting(createMatcher({ String: spec.delimiter }, `${field}.delimiter`, fail), 'Removed');
    case 'Whitespace':
      return splitting(everyMatch(WORDS), 'Removed', true);
    case 'WhitespaceSplit':
      return splitting(everyMatch(WHITE_SPACE), 'Removed');
    case 'Punctuation':
      return splitting(everyMatch(PUNCTUATION), spec.behavior ?? 'Isolated');
    case 'Digits':
      return splitting(everyMatch(/\p{N}/gu), spec.individual_digits ? 'Isolated' : 'Contiguous');
    case 'BertPreTokenizer':
      return inSequence([splitting(everyMatch(WHITE_SPACE), 'Removed'), splitting(everyMatch(PUNCTUATION), 'Isolated')]);
    case 'FixedLength':
      return splitting(everyMatch(new RegExp(`[^]{1,${spec.length}}`, 'gu')), 'Isolated');
    case 'Metaspace':
      return metaspace(spec, field, fail);
    case 'ByteLevel':
      return byteLevel(spec, field, fail);
  }
}

function inSequence([first, ...others]: readonly PreTokenizer[]): PreTokenizer {
  if (!first) return unsplit;
  const rest = inSequence(others);
  return function* (piece) {
    for (const part of first(piece)) {
      if (part) yield* rest(part);
      else yield;
    }
  };
}

/** Cuts a text where a pattern matches; `behavior` says what becomes of the matches, and `invert` swaps them with the rest. */
function splitting(matcher: Matcher, behavior: Behavior, invert = false): PreTokenizer {
  const join = joining(behavior);
  return function* ({ text, first }) {
    for (const part of join(partsOf(text, matcher, invert))) {
      if (!part) yield;
      else if (part.begin < part.end) yield { text: text.slice(part.begin, part.end), first: first && part.begin === 0 };
    }
  };
}

interface Part {
  readonly begin: number;
  readonly end: number;
  readonly isMatch: boolean;
}

function* partsOf(text: string, matcher: Matcher, invert: boolean): Stream<Part> {
  let from = 0;
  for (const match of matcher(text)) {
    if (!match) {
      yield;
      continue;
    }
    const [begin, end] = match;
    if (from < begin) yield { begin: from, end: begin, isMatch: invert };
    yield { begin, end, isMatch: !invert };
    from = end;
  }
  if (from < text.length || text === '') yield { begin: from, end: text.length, isMatch: invert };
}

/** Which of two neighbours become one. */
const JOINS: Readonly<Record<Exclude<Behavior, 'Removed'>, (left: Part, right: Part) => boolean>> = {
  Isolated: () => false,
  Contiguous: (left, right) => left.isMatch === right.isMatch,
  MergedWithPrevious: (left, right) => right.isMatch && !left.isMatch,
  MergedWithNext: (left, right) => left.isMatch && !right.isMatch,
};

/** Parts in order, of which the last waits for the one after it. A part that was joined is of the kind of its right end. */
function joining(behavior: Behavior): (parts: Stream<Part>) => Stream<Part> {
  if (behavior === 'Removed') {
    return function* (parts) {
      for (const part of parts) if (!part?.isMatch) yield part;
    };
  }
  const joins = JOINS[behavior];
  return function* (parts) {
    let last: Part | undefined;
    for (const part of parts) {
      if (!part) {
        yield;
        continue;
      }
      if (last && joins(last, part)) last = { begin: last.begin, end: part.end, isMatch: part.isMatch };
      else {
        if (last) yield last;
        last = part;
      }
    }
    if (last) yield last;
  };
}

function metaspace(spec: PreTokenizerSpec & { type: 'Metaspace' }, field: string, fail: Fail): PreTokenizer {
  const { replacement, split = true } = spec;
  const scheme = schemeOf(spec, field, fail);
  const cut = split ? splitting(createMatcher({ String: replacement }, field, fail), 'MergedWithNext') : unsplit;
  return function* ({ text, first }) {
    const replaced = yield* inSlices(text, (slice) => slice.replaceAll(' ', () => replacement));
    const prepends = !replaced.startsWith(replacement) && (scheme === 'always' || (scheme === 'first' && first));
    yield* cut({ text: prepends ? replacement + replaced : replaced, first });
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
  const cut = useRegex ? splitting(createMatcher({ Regex: GPT_2_WORDS }, field, fail), 'Isolated') : unsplit;
  return function* ({ text, first }) {
    const whole = addPrefixSpace && !text.startsWith(' ') ? ` ${text}` : text;
    for (const piece of cut({ text: whole, first })) yield piece && { ...piece, text: yield* inSlices(piece.text, byteCharacters) };
  };
}
