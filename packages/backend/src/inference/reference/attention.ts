// Attention in plain loops: what it means, for the other implementations to be held against.
import type { HostPages } from '../host-pages';
import { slotOf } from '../host-pages';
import type { Slot } from '../pages';
import type { AttendOptions, LayerView } from '../runtime';

/**
 * Attention of one token: for each query head the softmax over all tokens that the segments show of scale · q·k, and the mean of
 * their values by these probabilities. With n stored heads, head j of a token serves the query heads j·heads/n to
 * (j+1)·heads/n − 1.
 *
 * @param q [heads·headDim]
 * @param pending the expert of the token just stored, which counts as the last of its segment; null: it does not count
 * @returns [heads·headDim], and for each segment the probabilities of its tokens, summed over the query heads
 */
export function attendReference(
  q: Float32Array, view: LayerView, pending: number | null, { heads, scale, softCap }: Pick<AttendOptions, 'heads' | 'scale' | 'softCap'>,
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
    const scores = tokens.map((slots, expert) => slots.map((slot, index) => {
      const hidden = index < (view.segments[expert]!.from ?? 0);
      return hidden ? -Infinity : capped(scale * dot(query, stored('k', expert, slot)), softCap);
    }));
    const shares = softmax(scores.flat());
    const mean = new Float64Array(headDim);
    let next = 0;
    tokens.forEach((slots, expert) =>
      slots.forEach((slot, index) => {
        const share = shares[next++]!;
        probabilities[expert]![index]! += share;
        if (share > 0) stored('v', expert, slot).forEach((value, i) => (mean[i]! += share * value));
      }),
    );
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
