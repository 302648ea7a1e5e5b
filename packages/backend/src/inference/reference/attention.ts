// Attention in plain loops: what it means, for the other implementations to be held against.
import type { HostPages } from '../host-pages';
import { slotOf } from '../host-pages';
import type { AttendOptions, LayerView } from '../runtime';

/** Tokens of one segment, the one that is being computed last where it is of this segment. */
export interface SeenTokens {
  readonly tokens: number;
  /** The first that attention sees. */
  readonly from: number;
  /** Heads of a token: with n, head j serves the query heads j·heads/n to (j+1)·heads/n − 1. */
  readonly heads: number;
  /** float32 [headDim] */
  key(token: number, head: number): Float32Array;
  value(token: number, head: number): Float32Array;
}

type ScoreOptions = Pick<AttendOptions, 'heads' | 'scale' | 'softCap'>;

/**
 * Attention of one token over pages of the host.
 * @param q [heads·headDim]
 * @param pending the expert of the token just stored, which counts as the last of its segment; null: it does not count
 */
export function attendReference(q: Float32Array, { segments, slots }: LayerView, pending: number | null, options: ScoreOptions) {
  const headDim = q.length / options.heads;
  const seen = segments.map((segment, expert): SeenTokens => {
    const store = segment.store as HostPages;
    const slot = (token: number) => (token < segment.tokens ? slotOf(segment, token) : slots[expert]!);
    const head = (kind: 'k' | 'v') => (token: number, at: number) => store.token(kind, slot(token)).subarray(at * headDim, (at + 1) * headDim);
    const tokens = segment.tokens + (expert === pending ? 1 : 0);
    return { tokens, from: segment.from ?? 0, heads: store.heads, key: head('k'), value: head('v') };
  });
  return attendTokens(q, seen, headDim, options);
}

/**
 * Attention of one token: for each query head the softmax over all tokens that the segments show of scale · q·k, and the mean of
 * their values by these probabilities.
 *
 * @param q [heads·headDim]
 * @returns [heads·headDim], and for each segment the probabilities of its tokens, summed over the query heads
 */
export function attendTokens(
  q: Float32Array, segments: readonly SeenTokens[], headDim: number, { heads, scale, softCap }: ScoreOptions,
): { out: Float32Array; probabilities: Float32Array[] } {
  const probabilities = segments.map(({ tokens }) => new Float32Array(tokens));
  const out = new Float32Array(q.length);
  for (let head = 0; head < heads; head++) {
    const query = q.subarray(head * headDim, (head + 1) * headDim);
    const own = (segment: SeenTokens) => Math.floor((head * segment.heads) / heads);
    const scores = segments.map((segment) => Array.from({ length: segment.tokens }, (_, token) => (
      token < segment.from ? -Infinity : capped(scale * dot(query, segment.key(token, own(segment))), softCap)
    )));
    const shares = softmax(scores.flat());
    const mean = new Float64Array(headDim);
    let next = 0;
    segments.forEach((segment, index) => {
      for (let token = 0; token < segment.tokens; token++) {
        const share = shares[next++]!;
        probabilities[index]![token]! += share;
        if (share > 0) segment.value(token, own(segment)).forEach((value, i) => (mean[i]! += share * value));
      }
    });
    out.set(mean, head * headDim);
  }
  return { out, probabilities };
}

function softmax(scores: readonly number[]): number[] {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map((score) => Math.exp(score - largest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function capped(score: number, cap: number | undefined): number {
  return cap === undefined ? score : cap * Math.tanh(score / cap);
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}
