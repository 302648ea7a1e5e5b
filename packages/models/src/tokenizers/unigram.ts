import { byteTokens } from './bytes';
import type { Fail, ModelSpec } from './schema';
import { type Model, STEP, type Steps } from './steps';
import type { Vocabulary } from './vocabulary';

/** How much less likely than the least likely token an unknown character is, in nats. */
const UNKNOWN_PENALTY = 10;

/** The likeliest tokens of a text under a unigram language model (Kudo 2018). */
export function createUnigram(spec: ModelSpec & { type: 'Unigram' }, vocabulary: Vocabulary, fail: Fail): Model {
  const { vocab } = spec;
  const unknown = spec.unk_id ?? -1;
  if (unknown >= vocab.length) fail('model.unk_id', `expected an id below ${vocab.length}, got ${unknown}`);
  const unknownScore = vocab.reduce((least, [, score]) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
  const trie = trieOf(vocab.map(([token]) => token));

  const arcs = (text: string, from: number, offer: Offer) => {
    const single = from + sizeOf(text, from);
    let hasSingle = false;
    let node: TrieNode | undefined = trie;
    for (let end = from; end < text.length; ) {
      node = node.get(text[end++]!);
      if (!node) break;
      const id = node.token === undefined ? undefined : vocabulary.id(node.token);
      if (id === undefined) continue;
      offer(end, id, vocab[id]![1]);
      hasSingle ||= end === single;
    }
    if (hasSingle) return;
    if (unknown < 0) fail('model.unk_id', 'expected the id of the unknown token, got none');
    offer(single, unknown, unknownScore);
  };
  return function* (text) {
    return (yield* bestPath(text, arcs, unknown)).flatMap(({ id, piece }) => {
      const known = id === unknown ? vocabulary.id(piece) : id;
      return known === undefined ? ((spec.byte_fallback ? vocabulary.bytes(byteTokens(piece)) : null) ?? [id]) : [known];
    });
  };
}

class TrieNode extends Map<string, TrieNode> {
  /** The token that ends here. */
  token: string | undefined;
}

function trieOf(tokens: readonly string[]): TrieNode {
  const root = new TrieNode();
  for (const token of tokens) {
    let node = root;
    for (let i = 0; i < token.length; i++) {
      let child = node.get(token[i]!);
      if (!child) node.set(token[i]!, (child = new TrieNode()));
      node = child;
    }
    node.token = token;
  }
  return root;
}

function sizeOf(text: string, at: number): number {
  return text.codePointAt(at)! > 0xffff ? 2 : 1;
}

type Offer = (end: number, id: number, score: number) => void;

/**
 * @param arcs offers the tokens that begin at a place, with their scores
 * @param unknown the id whose neighbours are one piece
 */
function* bestPath(
  text: string, arcs: (text: string, from: number, offer: Offer) => void, unknown: number,
): Steps<{ id: number; piece: string }[]> {
  const scores = new Float64Array(text.length + 1);
  const begins = new Int32Array(text.length + 1).fill(-1);
  const ids = new Int32Array(text.length + 1);
  let characters = 0;
  for (let from = 0; from < text.length; from += sizeOf(text, from)) {
    if (++characters % STEP === 0) yield;
    arcs(text, from, (end, id, score) => {
      const total = scores[from]! + score;
      if (begins[end] !== -1 && total <= scores[end]!) return;
      scores[end] = total;
      begins[end] = from;
      ids[end] = id;
    });
  }
  const steps: { id: number; piece: string }[] = [];
  for (let end = text.length; end > 0; ) {
    const id = ids[end]!;
    let begin = begins[end]!;
    while (id === unknown && begin > 0 && ids[begin] === unknown) begin = begins[begin]!;
    steps.push({ id, piece: text.slice(begin, end) });
    if (steps.length % STEP === 0) yield;
    end = begin;
  }
  return steps.reverse();
}
