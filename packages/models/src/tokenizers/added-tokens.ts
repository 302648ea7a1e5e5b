import type { AddedTokenSpec, Fail } from './schema';
import type { Vocabulary } from './vocabulary';
import type { Normalizer } from './normalizers';
import { atOnce, STEP, type Stream } from './steps';

/** A part of a text: a token that was added to the vocabulary, by its id, or text. */
export type Section = { readonly id: number } | { readonly text: string; readonly first: boolean };

/** Tokens beside the model's own, which are found in a text before it is split into words. */
export interface AddedTokens {
  readonly ids: ReadonlyMap<string, number>;
  readonly special: ReadonlySet<number>;
  /** Cuts out the tokens, those that are not normalized first, then the others of the normalized rest, which it gives. */
  sections(text: string): Stream<Section>;
}

/** @throws FileError when an id is not the one that Python's tokenizers give */
export function createAddedTokens(specs: readonly AddedTokenSpec[], vocabulary: Vocabulary, normalize: Normalizer | null, fail: Fail): AddedTokens {
  const ids = new Map<string, number>();
  const tokens = new Map<string, AddedTokenSpec>();
  let next = vocabulary.size;
  specs.forEach((spec, i) => {
    if (spec.content === '') return;
    const expected = ids.get(spec.content) ?? vocabulary.id(spec.content) ?? next;
    if (spec.id !== expected) fail(`added_tokens.${i}.id`, `expected ${expected}, which follows from the vocabulary, got ${spec.id}`);
    ids.set(spec.content, spec.id);
    tokens.set(spec.content, spec);
    next = Math.max(next, spec.id + 1);
  });
  const isNormalized = ({ normalized, special = false }: AddedTokenSpec) => normalized ?? !special;
  const all = [...tokens.values()];
  const before = new Splitter(all.filter((token) => !isNormalized(token)).map((token) => [token.content, token]));
  const after = new Splitter(all.filter(isNormalized).map((token) => [normalize ? atOnce(normalize(token.content)) : token.content, token]));
  return {
    ids,
    special: new Set(all.filter(({ special }) => special).map(({ id }) => id)),
    *sections(text) {
      for (const section of before.split(text, true)) {
        if (!section || 'id' in section) yield section;
        else yield* after.split(normalize ? yield* normalize(section.text) : section.text, section.first);
      }
    },
  };
}

class TrieNode extends Map<string, TrieNode> {
  token: AddedTokenSpec | undefined;
}

/** Finds tokens in a text, from the left, at each place the longest. */
class Splitter {
  readonly #root = new TrieNode();

  constructor(tokens: Iterable<readonly [content: string, AddedTokenSpec]>) {
    for (const [content, token] of tokens) {
      let node = this.#root;
      for (let i = 0; i < content.length; i++) {
        let child = node.get(content[i]!);
        if (!child) node.set(content[i]!, (child = new TrieNode()));
        node = child;
      }
      if (content !== '') node.token = token;
    }
  }

  *split(text: string, first: boolean): Stream<Section> {
    let from = 0;
    const textTo = (end: number): Section[] => (from < end ? [{ text: text.slice(from, end), first: first && from === 0 }] : []);
    for (let at = 0; at < text.length; ) {
      if (at % STEP === 0) yield;
      const found = this.#at(text, at);
      if (!found) {
        at++;
        continue;
      }
      const { token, end } = found;
      const begin = at;
      at = end;
      if (token.single_word && (isWord(characterBefore(text, begin)) || isWord(characterAt(text, end)))) continue;
      yield* textTo(token.lstrip ? Math.max(from, spaceBefore(text, begin)) : begin);
      yield { id: token.id };
      from = token.rstrip ? spaceAfter(text, end) : end;
      at = Math.max(at, from);
    }
    yield* textTo(text.length);
  }

  #at(text: string, begin: number): { token: AddedTokenSpec; end: number } | null {
    let found: { token: AddedTokenSpec; end: number } | null = null;
    let node: TrieNode | undefined = this.#root;
    for (let end = begin; end < text.length; ) {
      node = node.get(text[end++]!);
      if (!node) break;
      if (node.token) found = { token: node.token, end };
    }
    return found;
  }
}

function isWord(character: string): boolean {
  return /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u.test(character);
}

function characterAt(text: string, at: number): string {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at)!) : '';
}

function characterBefore(text: string, at: number): string {
  const isPair = at > 1 && text.codePointAt(at - 2)! > 0xffff;
  return text.slice(isPair ? at - 2 : Math.max(0, at - 1), at);
}

const isSpace = (character: string | undefined) => character !== undefined && /\p{White_Space}/u.test(character);

function spaceBefore(text: string, end: number): number {
  let begin = end;
  while (begin > 0 && isSpace(text[begin - 1])) begin--;
  return begin;
}

function spaceAfter(text: string, begin: number): number {
  let end = begin;
  while (isSpace(text[end])) end++;
  return end;
}
