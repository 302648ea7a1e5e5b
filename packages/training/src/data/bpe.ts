import { ArgumentError, expectOptions } from '@mixsga/backend';
import { BYTE_CHARACTERS, GPT2_PATTERN } from './byte-level';
import { PairHeap } from './pair-heap';

/**
 * The special tokens of OPT at OPT's ids: `<s>` 0 (unused, as in OPT), `<pad>` 1, and `</s>` 2, which is both
 * the first and the last token of a text. So `pad_token_id` 1 and `bos_token_id` = `eos_token_id` = 2, the
 * defaults of an OPT config.json, hold.
 */
export const OPT_SPECIAL_TOKENS: readonly string[] = ['<s>', '<pad>', '</s>'];

export interface TrainBpeOptions {
  /** They get the ids 0, 1, ...; default {@link OPT_SPECIAL_TOKENS}. */
  specialTokens?: readonly string[];
  /** Called now and then with the vocabulary reached so far and the one asked for. */
  onProgress?: (size: number, vocabularySize: number) => void;
}

/** A byte-level BPE tokenizer as the `tokenizer.json` of Hugging Face tokenizers. */
export interface BpeTokenizerJson {
  version: '1.0';
  truncation: null;
  padding: null;
  added_tokens: {
    id: number;
    content: string;
    single_word: false;
    lstrip: false;
    rstrip: false;
    normalized: false;
    special: true;
  }[];
  normalizer: null;
  pre_tokenizer: ByteLevelJson;
  post_processor: ByteLevelJson;
  decoder: ByteLevelJson;
  model: {
    type: 'BPE';
    dropout: null;
    unk_token: null;
    continuing_subword_prefix: null;
    end_of_word_suffix: null;
    fuse_unk: false;
    byte_fallback: false;
    ignore_merges: false;
    vocab: Record<string, number>;
    merges: [string, string][];
  };
}

interface ByteLevelJson {
  type: 'ByteLevel';
  add_prefix_space: false;
  trim_offsets: true;
  use_regex: true;
}

/** A pair seen only once would be a token that stands in one place of the corpus: nothing to learn from. */
const MINIMUM_PAIR_COUNT = 2;

/**
 * Trains a byte-level BPE tokenizer (Sennrich et al., 2016; byte level as in GPT-2): 256 bytes, then the most
 * frequent pair merged again and again. The same texts give the same tokenizer: between pairs of equal count,
 * the one of smaller ids wins, as in Hugging Face tokenizers, whose merges these equal.
 *
 * No special token is added by the tokenizer itself when it encodes.
 *
 * @param texts the training texts; words never span two of them
 * @param vocabularySize tokens wanted in all, special tokens and the 256 bytes included. The vocabulary is
 *   smaller when no pair is left that occurs twice: read the size from the result.
 * @throws ArgumentError when vocabularySize leaves no room for the bytes and the special tokens
 */
export function trainBpe(
  texts: Iterable<string>,
  vocabularySize: number,
  options: TrainBpeOptions = {},
): BpeTokenizerJson {
  expectOptions('trainBpe', options, { specialTokens: true, onProgress: true });
  const specialTokens = options.specialTokens ?? OPT_SPECIAL_TOKENS;
  const least = specialTokens.length + BYTE_CHARACTERS.length;
  if (!Number.isInteger(vocabularySize) || vocabularySize < least) {
    throw new ArgumentError(
      `trainBpe: expected a vocabulary size of at least ${least} (${specialTokens.length} special tokens and 256 bytes), got ${String(vocabularySize)}`,
    );
  }
  // Ids as Hugging Face assigns them: special tokens, then the alphabet by code point, then the merges.
  const tokens = [...specialTokens, ...[...BYTE_CHARACTERS].sort()];
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = BYTE_CHARACTERS.map((character) => idOf.get(character)!);

  const merges: [string, string][] = [];
  const corpus = new MergedWords(countWords(texts), byteIds, vocabularySize);
  while (tokens.length < vocabularySize) {
    const pair = corpus.mostFrequentPair();
    if (pair === null || pair.count < MINIMUM_PAIR_COUNT) break;
    const [left, right] = [tokens[pair.left]!, tokens[pair.right]!];
    merges.push([left, right]);
    // Two ways to the same characters ("a"+"bc", "ab"+"c") share one token.
    const id = idOf.get(left + right) ?? tokens.length;
    if (id === tokens.length) {
      tokens.push(left + right);
      idOf.set(left + right, id);
    }
    corpus.merge(pair.left, pair.right, id);
    if (merges.length % 256 === 0) options.onProgress?.(tokens.length, vocabularySize);
  }
  options.onProgress?.(tokens.length, vocabularySize);
  return tokenizerJson(specialTokens, tokens, merges);
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(GPT2_PATTERN)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** The distinct words of a corpus as token ids, with the count of every adjacent pair kept up to date. */
class MergedWords {
  readonly #words: Int32Array[] = [];
  readonly #wordCounts: number[] = [];
  readonly #pairCounts = new Map<number, number>();
  /** For each pair, the words that hold it, or held it once. */
  readonly #wordsOfPair = new Map<number, number[]>();
  readonly #heap = new PairHeap();

  /** @param radix above every token id; a pair's key is left * radix + right */
  constructor(
    wordCounts: ReadonlyMap<string, number>,
    byteIds: readonly number[],
    private readonly radix: number,
  ) {
    const encoder = new TextEncoder();
    for (const [word, count] of wordCounts) {
      const ids = Int32Array.from(encoder.encode(word), (byte) => byteIds[byte]!);
      const index = this.#words.push(ids) - 1;
      this.#wordCounts.push(count);
      for (let i = 1; i < ids.length; i++) this.#count(ids[i - 1]!, ids[i]!, count, index);
    }
    for (const [key, count] of this.#pairCounts) this.#heap.push(key, count);
  }

  /** The pair to merge next, or null when every word is one token. */
  mostFrequentPair(): { left: number; right: number; count: number } | null {
    for (;;) {
      const top = this.#heap.pop();
      if (top === null) return null;
      const count = this.#pairCounts.get(top.key) ?? 0;
      if (count === top.count) return { left: Math.floor(top.key / this.radix), right: top.key % this.radix, count };
      // Merges since the push have taken occurrences away: back to its place with what is left. A pair that
      // gained was pushed again, so a stale entry that is too low finds its pair merged already, or lower.
      if (count > 0 && count < top.count) this.#heap.push(top.key, count);
    }
  }

  /** Replaces each `left right` by `id` in every word, from left to right. */
  merge(left: number, right: number, id: number): void {
    const key = left * this.radix + right;
    const gained = new Set<number>();
    for (const index of new Set(this.#wordsOfPair.get(key))) {
      const word = this.#words[index]!;
      const count = this.#wordCounts[index]!;
      let length = 0; // of the merged word, written over the old one
      for (let i = 0; i < word.length; i++) {
        if (word[i] !== left || word[i + 1] !== right) {
          word[length++] = word[i]!;
          continue;
        }
        const before = length > 0 ? word[length - 1] : undefined;
        const after = word[i + 2];
        if (before !== undefined) {
          this.#count(before, left, -count, index);
          gained.add(this.#count(before, id, count, index));
        }
        if (after !== undefined) {
          this.#count(right, after, -count, index);
          gained.add(this.#count(id, after, count, index));
        }
        word[length++] = id;
        i++;
      }
      this.#words[index] = word.subarray(0, length);
    }
    this.#pairCounts.delete(key);
    this.#wordsOfPair.delete(key);
    for (const pair of gained) {
      const count = this.#pairCounts.get(pair) ?? 0;
      if (count > 0) this.#heap.push(pair, count);
    }
  }

  #count(left: number, right: number, change: number, word: number): number {
    const key = left * this.radix + right;
    this.#pairCounts.set(key, (this.#pairCounts.get(key) ?? 0) + change);
    if (change > 0) {
      const words = this.#wordsOfPair.get(key);
      if (words === undefined) this.#wordsOfPair.set(key, [word]);
      else if (words[words.length - 1] !== word) words.push(word);
    }
    return key;
  }
}

function tokenizerJson(
  specialTokens: readonly string[],
  tokens: readonly string[],
  merges: [string, string][],
): BpeTokenizerJson {
  const byteLevel: ByteLevelJson = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
