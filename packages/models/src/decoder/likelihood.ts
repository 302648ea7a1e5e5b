import type { RowLikelihood, Rows } from '@mixsga/backend';
import { logitRowsAtOnce } from './chunks';
import type { Parts } from './parts';
import type { PassResult } from './text-pass';

/** Of logits at a time: a part of a text's tokens where the vocabulary is large. */
const LOGIT_BYTES = 2 ** 25;

interface GatherOptions extends PassResult {
  /** A buffer of at least `count` rows of logits. */
  readonly logitRows: (count: number) => Rows;
}

/**
 * The likelihoods of targets by the last layer's activations, part by part.
 * @param targets one for each token; a negative one is not asked for
 */
export async function gatherLikelihood(
  parts: Parts, targets: Int32Array, { x, buffers, pace, logitRows }: GatherOptions,
): Promise<RowLikelihood> {
  const { runtime, shape, transformer } = parts;
  const { a, capacity } = buffers;
  const most = Math.min(capacity, logitRowsAtOnce(parts), Math.max(1, Math.floor(LOGIT_BYTES / (4 * shape.vocabularySize))));
  const [nll, greedy] = [new Float32Array(targets.length), new Uint8Array(targets.length)];
  for (const { first, end } of partsOf(targets, most)) {
    const rows = end - first;
    runtime.copyRows(x, first, rows, a.x);
    const logits = logitRows(rows);
    transformer.logits(a, logits, rows);
    const part = await runtime.likelihood(logits, targets.subarray(first, end));
    nll.set(part.nll, first);
    greedy.set(part.greedy, first);
    await pace.after(logitWork(parts, rows));
  }
  return { nll, greedy };
}

/** Multiply-adds of some rows of logits. */
export function logitWork({ shape }: Pick<Parts, 'shape'>, rows: number): number {
  return rows * shape.vocabularySize * shape.hiddenSize;
}

/** The runs of targets that are asked for, cut into parts of `most` at most. */
function partsOf(targets: Int32Array, most: number): { first: number; end: number }[] {
  const parts: { first: number; end: number }[] = [];
  for (let end = 0; end < targets.length; ) {
    const first = end;
    while (end < targets.length && end - first < most && targets[end]! >= 0) end++;
    if (end > first) parts.push({ first, end });
    else end++;
  }
  return parts;
}
