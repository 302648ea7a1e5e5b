import type { RowLikelihood, Rows } from '@mixsga/backend';
import { nextTask } from '@mixsga/backend';
import type { Parts } from './parts';
import type { PassResult } from './text-pass';

/** Of logits at a time: a part of a text's tokens where the vocabulary is large. */
const LOGIT_BYTES = 2 ** 25;

interface GatherOptions extends Pick<PassResult, 'x' | 'buffers'> {
  /** A buffer of at least `count` rows of logits. */
  readonly logitRows: (count: number) => Rows;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The likelihoods of targets by the last layer's activations, part by part.
 * @param targets one for each token; a negative one is not asked for
 */
export async function gatherLikelihood(
  { runtime, shape, transformer }: Parts, targets: Int32Array, { x, buffers, logitRows, signal }: GatherOptions,
): Promise<RowLikelihood> {
  const { a, capacity } = buffers;
  const most = Math.min(capacity, Math.max(1, Math.floor(LOGIT_BYTES / (4 * shape.vocabularySize))));
  const parts = partsOf(targets, most);
  const [nll, greedy] = [new Float32Array(targets.length), new Uint8Array(targets.length)];
  for (const { first, end } of parts) {
    if (signal) {
      await nextTask();
      signal.throwIfAborted();
    }
    const rows = end - first;
    runtime.copyRows(x, first, rows, a.x);
    const logits = logitRows(rows);
    transformer.logits(a, logits, rows);
    const part = await runtime.likelihood(logits, targets.subarray(first, end));
    nll.set(part.nll, first);
    greedy.set(part.greedy, first);
  }
  return { nll, greedy };
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
