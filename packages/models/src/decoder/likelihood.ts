import type { RowLikelihood, Rows } from '@mixsga/backend';
import { nextTask } from '@mixsga/backend';
import type { Activations } from './family';
import type { Parts } from './parts';

/** Of logits at a time: a part of a text's tokens where the vocabulary is large. */
const LOGIT_BYTES = 2 ** 25;

interface GatherOptions {
  /** A buffer of at least `count` rows of logits. */
  readonly logitRows: (count: number) => Rows;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The likelihoods of targets by the last layer's activations, part by part.
 * @param targets one for each token; a negative one is not asked for
 */
export async function gatherLikelihood(
  { runtime, shape, transformer }: Parts, a: Activations, targets: Int32Array, { logitRows, signal }: GatherOptions,
): Promise<RowLikelihood> {
  const most = Math.max(1, Math.floor(LOGIT_BYTES / (4 * shape.vocabularySize)));
  const parts = partsOf(targets, most);
  const [nll, greedy] = [new Float32Array(targets.length), new Uint8Array(targets.length)];
  let piece: Rows | null = null;
  try {
    for (const { first, end } of parts) {
      if (signal) {
        await nextTask();
        signal.throwIfAborted();
      }
      const rows = end - first;
      if (first > 0) {
        piece ??= runtime.rows(Math.max(...parts.map((part) => part.end - part.first)), shape.hiddenSize);
        runtime.copyRows(a.x, first, rows, piece);
      }
      const logits = logitRows(rows);
      transformer.logits(first > 0 ? { ...a, x: piece! } : a, logits, rows);
      const part = await runtime.likelihood(logits, targets.subarray(first, end));
      nll.set(part.nll, first);
      greedy.set(part.greedy, first);
    }
  } finally {
    piece?.dispose();
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
