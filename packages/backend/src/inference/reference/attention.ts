// Attention in plain loops: what it means, for the other implementations to be held against.
import type { HostPages } from '../host-pages';
import { slotOf } from '../host-pages';
import type { Slot } from '../pages';
import type { AttendOptions, CausalOptions, LayerView } from '../runtime';

/**
 * Attention of one token: for each query head the softmax over all tokens of all segments of scale · q·k, and the mean of
 * their values by these probabilities. With n stored heads, head j of a token serves the query heads j·heads/n to
 * (j+1)·heads/n − 1.
 *
 * @param q [heads·headDim]
 * @param pending the expert of the token just stored, which counts as the last of its segment; null: it does not count
 * @returns [heads·headDim], and for each segment the probabilities of its tokens, summed over the query heads
 */
export function attendReference(
  q: Float32Array, view: LayerView, pending: number | null, { heads, scale }: Pick<AttendOptions, 'heads' | 'scale'>,
): { out: Float32Array; probabilities: Float32Array[] } {
  const headDim = q.length / heads;
  const tokens = view.segments.map((segment, expert): Slot[] => {
    const slots = Array.from({ length: segment.tokens }, (_, index) => slotOf(segment, index));
    return expert === pending ? [...slots, view.slots[expert]!] : slots;
  });
  const probabilities = tokens.map((slots) => new Float32Array(slots.length));
  const out = new Float32Array(q.length);
  for (let head = 0; head < heads; head++) {
    const query = q.subarray(head * headDim, (head + 1) * headDim);
    const stored = (kind: 'k' | 'v', expert: number, slot: Slot) => {
      const store = view.segments[expert]!.store as HostPages;
      const at = Math.floor((head * store.heads) / heads) * headDim;
      return store.token(kind, slot).subarray(at, at + headDim);
    };
    const scores = tokens.map((slots, expert) => slots.map((slot) => scale * dot(query, stored('k', expert, slot))));
    const largest = Math.max(...scores.map((part) => part.reduce((a, b) => Math.max(a, b), -Infinity)));
    const weights = scores.map((part) => part.map((score) => Math.exp(score - largest)));
    const sum = weights.flat().reduce((a, b) => a + b, 0);
    const mean = new Float64Array(headDim);
    weights.forEach((part, expert) =>
      part.forEach((weight, index) => {
        probabilities[expert]![index]! += weight / sum;
        stored('v', expert, tokens[expert]![index]!).forEach((value, i) => (mean[i]! += (weight / sum) * value));
      }),
    );
    out.set(mean, head * headDim);
  }
  return { out, probabilities };
}

/**
 * The attention probability that each token of a text gets, summed over all queries, which see themselves and what is
 * before them, and over the query heads.
 *
 * @param q [rows, heads·headDim]
 * @param k [rows, kvHeads·headDim]
 * @returns [rows]
 */
export function causalProbabilities(
  q: Float32Array, k: Float32Array, rows: number, { heads, kvHeads, scale }: Pick<CausalOptions, 'heads' | 'kvHeads' | 'scale'>,
): Float32Array {
  const headDim = q.length / rows / heads;
  const total = new Float64Array(rows);
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor((head * kvHeads) / heads);
    const key = (row: number) => k.subarray((row * kvHeads + kvHead) * headDim, (row * kvHeads + kvHead + 1) * headDim);
    for (let row = 0; row < rows; row++) {
      const query = q.subarray((row * heads + head) * headDim, (row * heads + head + 1) * headDim);
      const scores = Array.from({ length: row + 1 }, (_, token) => scale * dot(query, key(token)));
      const largest = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - largest));
      const sum = weights.reduce((a, b) => a + b);
      weights.forEach((weight, token) => (total[token]! += weight / sum));
    }
  }
  return Float32Array.from(total);
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}
