// Where the patterns of a tokenizer.json match. Python's tokenizers have Oniguruma, a backtracking engine with a language of its own.
import { SplitPreTokenizer } from '@huggingface/tokenizers';
import { LinearRegex } from './linear-regex';
import type { Fail, Pattern } from './schema';
import { STEP, type Steps, type Stream } from './steps';

/** Where a pattern matches in a text: ranges in order that do not overlap. */
export type Matcher = (text: string) => Stream<Range>;

export type Range = readonly [begin: number, end: number];

/** How GPT-2 splits a text into words. */
export const GPT_2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Patterns of published models that a backtracking engine is known to match in linear time. */
const PUBLISHED = new Set([
  GPT_2_WORDS,
  // Llama 3
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Qwen 2
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
]);

/** One class of characters, repeated or not: nothing to go back to. */
const ONE_CLASS = /^(\\[pP]\{\w+\}|\\[sSdDwW]|\[(?:[^\\[\]&]|\\[\w\\])+\])(\+|\{\d+(,\d*)?\})?$/;

/**
 * @param field of the tokenizer.json that has the pattern
 * @throws FileError when it is malformed, or has what the engines here have not
 */
export function createMatcher(pattern: Pattern, field: string, fail: Fail): Matcher {
  if ('String' in pattern) return literal(pattern.String);
  const { Regex: source } = pattern;
  const refuse = (error: unknown) =>
    fail(field, `expected a regular expression that is read here, got ${JSON.stringify(source.slice(0, 80))}: ${(error as Error).message}`);
  try {
    expectKnown(source);
    const translated = new SplitPreTokenizer({ type: 'Split', pattern, behavior: 'Isolated', invert: false } as never).pattern!;
    if (PUBLISHED.has(source) || ONE_CLASS.test(source)) return everyMatch(translated);
    const regex = new LinearRegex(translated.source);
    return function* (text) {
      try {
        yield* regex.stream(text);
      } catch (error) {
        refuse(error);
      }
    };
  } catch (error) {
    return refuse(error);
  }
}

function literal(wanted: string): Matcher {
  return function* (text) {
    if (wanted === '') return;
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) yield [at, at + wanted.length];
  };
}

/** @param regex with the flag `g`, of one class of characters or known to match in linear time */
export function everyMatch(regex: RegExp): Matcher {
  return function* (text) {
    for (const match of text.matchAll(regex)) yield [match.index, match.index + match[0].length];
  };
}

/** What the translation to JavaScript would leave out, which makes another pattern of it. */
function expectKnown(source: string): void {
  const outside = source.replace(/\\./gsu, '.').replace(/\[(?:[^[\]]|\[[^[\]]*\])*\]/gu, '.');
  if (/[*+?]\+/.test(outside)) throw new SyntaxError('possessive quantifiers are not read');
  if (outside.includes('(?>')) throw new SyntaxError('atomic groups are not read');
  if (/\\[GKRXyY]/.test(source.replaceAll('\\\\', ''))) throw new SyntaxError('\\G, \\K, \\R, \\X and \\y are not read');
}

/** What replacements may make of a shorter text, in characters: each of many could double it. */
const MAX_REPLACED = 2 ** 22;

/** `text` with `content` instead of each match. */
export function* replaceMatches(text: string, matcher: Matcher, content: string, field: string, fail: Fail): Steps<string> {
  let result = '';
  let from = 0;
  let matches = 0;
  for (const match of matcher(text)) {
    if (match) {
      if (++matches * content.length > Math.max(MAX_REPLACED, text.length)) {
        fail(field, `expected texts of at most ${MAX_REPLACED} characters, got ${matches} times ${content.length}`);
      }
      result += text.slice(from, match[0]) + content;
      from = match[1];
    }
    if (!match || matches % STEP === 0) yield;
  }
  return result + text.slice(from);
}
