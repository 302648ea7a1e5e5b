import type { HarnessSample } from '../harness/sample';

/** As of a `generate_until` task of the harness. */
export interface RetrievalSample extends HarnessSample {
  readonly task: string;
  readonly haystack: string;
  readonly max_length: number;
  readonly depth: number | null;
  /** From 0 to 1. */
  readonly score: number;
  readonly prompt_tokens: number;
  /** Whether the prompt was cut to its last tokens, so that it and the answer fit into the context length. */
  readonly prompt_cut: boolean;
}
