import type { Score } from '../log-likelihood';

/**
 * A line of lm-evaluation-harness's `samples_<task>_<time>.jsonl` (0.4.13), with the metrics of the document beside it by
 * their names.
 */
export interface HarnessSample {
  readonly doc_id: number;
  /** The row with what the task added to it. */
  readonly doc: unknown;
  readonly target: string;
  /** `gen_args_0: {arg_0, arg_1}` and so on: what was asked of the model. */
  readonly arguments: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** For each request its answers. */
  readonly resps: readonly (readonly unknown[])[];
  readonly filtered_resps: readonly unknown[];
  readonly filter: 'none';
  readonly metrics: readonly string[];
  /** SHA-256 of the document, the first request's context and the target; null where the platform offers none (pages without HTTPS). */
  readonly doc_hash: string | null;
  readonly prompt_hash: string | null;
  readonly target_hash: string | null;
}

/**
 * @param requests a context each, and what was asked of it: a continuation, or the settings of a generation
 * @param responses for each request, what the harness would print of its answer: texts, or lists of texts
 */
export async function harnessSample(
  id: number,
  doc: unknown,
  target: string,
  requests: readonly (readonly [context: string, ...unknown[]])[],
  responses: readonly unknown[],
  metrics: readonly string[],
): Promise<HarnessSample> {
  const asked = (request: readonly unknown[]) => Object.fromEntries(request.map((argument, i) => [`arg_${i}`, argument]));
  return {
    doc_id: id,
    doc,
    target,
    arguments: Object.fromEntries(requests.map((request, i) => [`gen_args_${i}`, asked(request)])),
    resps: responses.map((response) => [response]),
    filtered_resps: responses,
    filter: 'none',
    metrics,
    doc_hash: await sha256(JSON.stringify(doc, null, 2)),
    prompt_hash: await sha256(requests[0]![0]!),
    target_hash: await sha256(target),
  };
}

/** A score as Python prints it. */
export function printedScore({ logLikelihood, greedy }: Score): [string, string] {
  return [printedNumber(logLikelihood), greedy ? 'True' : 'False'];
}

/** A float as Python prints it; small and large ones differ in the form of their exponent. */
export function printedNumber(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** Hexadecimal; null where the platform offers none. */
export async function sha256(text: string): Promise<string | null> {
  const { subtle } = globalThis.crypto as { subtle?: SubtleCrypto };
  if (!subtle) return null;
  const digest = new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
