import { byteTokens } from './bytes';
import type { Fail, ModelSpec } from './schema';
import { type Model, STEP, type Steps } from './steps';
import type { Vocabulary } from './vocabulary';

/** Words whose ids are kept: those of a text come again and again. */
const CACHED_WORDS = 10_000;
const CACHED_LENGTH = 256;

interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** Byte-pair encoding (Sennrich et al. 2016) of one word, as Python's tokenizers have it: merges are of ids, not of texts. */
export function createBpe(spec: ModelSpec & { type: 'BPE' }, vocabulary: Vocabulary, fail: Fail): Model {
  if (spec.dropout) fail('model.dropout', `expected none or 0, got ${spec.dropout}; ids would be random`);
  const merges = mergesOf(spec, vocabulary, fail);
  const cache = new Map<string, readonly number[]>();
  return function* (word) {
    const known = cache.get(word);
    if (known) return known;
    const whole = spec.ignore_merges ? vocabulary.id(word) : undefined;
    const ids = whole === undefined ? yield* merged(yield* symbolsOf(word, spec, vocabulary, fail), merges) : [whole];
    if (cache.size >= CACHED_WORDS) cache.clear();
    if (word.length <= CACHED_LENGTH) cache.set(word, ids);
    return ids;
  };
}

const key = (left: number, right: number) => left * 2 ** 23 + right;

function mergesOf(spec: ModelSpec & { type: 'BPE' }, vocabulary: Vocabulary, fail: Fail): ReadonlyMap<number, Merge> {
  const prefix = spec.continuing_subword_prefix?.length ?? 0;
  const merges = new Map<number, Merge>();
  for (const [rank, merge] of spec.merges.entries()) {
    const field = `model.merges.${rank}`;
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || pair.some((part) => typeof part !== 'string')) {
      fail(field, `expected two tokens, got ${JSON.stringify(merge).slice(0, 80)}`);
    }
    const [left, right] = pair as [string, string];
    const id = (token: string) => vocabulary.expect(token, field, fail);
    merges.set(key(id(left), id(right)), { rank, id: id(left + right.slice(prefix)) });
  }
  return merges;
}

/** The ids of a word's characters. One that is unknown is bytes, else the unknown token, else nothing. */
function* symbolsOf(word: string, spec: ModelSpec & { type: 'BPE' }, vocabulary: Vocabulary, fail: Fail): Steps<number[]> {
  const ids: number[] = [];
  let unknown: number | null = null;
  let characters = 0;
  for (let at = 0; at < word.length; ) {
    if (++characters % STEP === 0) yield;
    const character = String.fromCodePoint(word.codePointAt(at)!);
    const isLast = at + character.length === word.length;
    const symbol = `${at > 0 ? (spec.continuing_subword_prefix ?? '') : ''}${character}${isLast ? (spec.end_of_word_suffix ?? '') : ''}`;
    at += character.length;
    const id = vocabulary.id(symbol);
    if (id !== undefined) {
      if (unknown !== null) ids.push(unknown);
      unknown = null;
      ids.push(id);
      continue;
    }
    const bytes = spec.byte_fallback ? vocabulary.bytes(byteTokens(symbol)) : null;
    if (bytes) ids.push(...bytes);
    else if (typeof spec.unk_token === 'string') {
      if (unknown !== null && !spec.fuse_unk) ids.push(unknown);
      unknown = vocabulary.expect(spec.unk_token, 'model.unk_token', fail);
    }
  }
  if (unknown !== null) ids.push(unknown);
  return ids;
}

/** Merges the pair of the best rank, the leftmost of equals, until there is none: n log n for a word of n symbols. */
function* merged(ids: number[], merges: ReadonlyMap<number, Merge>): Steps<number[]> {
  const { length } = ids;
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const heap = new PairHeap();
  const offer = (left: number) => {
    const right = left < 0 ? length : next[left]!;
    if (right >= length) return;
    const merge = merges.get(key(ids[left]!, ids[right]!));
    if (merge) heap.push(merge.rank, left, merge.id, ids[left]!, ids[right]!);
  };
  for (let i = 0; i + 1 < length; i++) {
    offer(i);
    if (i % STEP === STEP - 1) yield;
  }
  let rounds = 0;
  for (let pair = heap.pop(); pair; pair = heap.pop()) {
    if (++rounds % STEP === 0) yield;
    const { left, id } = pair;
    const right = next[left]!;
    // Stale where one of the two has become part of another since.
    if (ids[left] !== pair.leftId || right >= length || ids[right] !== pair.rightId) continue;
    ids[left] = id;
    ids[right] = -1;
    next[left] = next[right]!;
    if (next[right]! < length) previous[next[right]!] = left;
    offer(previous[left]!);
    offer(left);
  }
  return ids.filter((id) => id >= 0);
}

interface Pair {
  readonly rank: number;
  readonly left: number;
  readonly id: number;
  readonly leftId: number;
  readonly rightId: number;
}

/** A binary heap, the best rank first, then the leftmost. */
class PairHeap {
  readonly #pairs: Pair[] = [];

  push(rank: number, left: number, id: number, leftId: number, rightId: number): void {
    const pairs = this.#pairs;
    const pair = { rank, left, id, leftId, rightId };
    let at = pairs.push(pair) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(pair, pairs[parent]!)) break;
      pairs[at] = pairs[parent]!;
      at = parent;
    }
    pairs[at] = pair;
  }

  pop(): Pair | undefined {
    const pairs = this.#pairs;
    const [first] = pairs;
    const last = pairs.pop();
    if (pairs.length === 0 || !last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= pairs.length) break;
      if (child + 1 < pairs.length && isBefore(pairs[child + 1]!, pairs[child]!)) child++;
      if (!isBefore(pairs[child]!, last)) break;
      pairs[at] = pairs[child]!;
      at = child;
    }
    pairs[at] = last;
    return first;
  }
}

function isBefore(a: Pair, b: Pair): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.left < b.left);
}
