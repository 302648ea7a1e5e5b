import type { Routing } from '@mixsga/evaluators';

/** Validation losses of one run while it trained. */
export interface TrainingCurve {
  /** Name of the method, as in the report. */
  name: string;
  seed: number;
  /** Tokens trained on so far, and the mean validation loss then, in nats per token under decode routing. */
  points: readonly { tokens: number; loss: number }[];
}

/** A sentence as one trained model routes it. */
export interface RoutedSentence {
  /** Name of the method. */
  method: string;
  routing: Routing;
  /** The text of each token. */
  tokens: readonly string[];
  /** Expert of each token, [layers][tokens]. */
  experts: readonly (readonly number[])[];
  /** Group size of each expert. */
  groupSizes: readonly number[];
}

/** What the plots need beyond report.json. A plot without its data is left out. */
export interface ReportExtras {
  curves?: readonly TrainingCurve[];
  sentence?: RoutedSentence;
}
