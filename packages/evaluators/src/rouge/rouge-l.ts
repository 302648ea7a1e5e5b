import { ArgumentError } from '@mixsga/backend';

import { porterStem } from './porter-stemmer';

export interface RougeScore {
  readonly precision: number;
  readonly recall: number;
  readonly fmeasure: number;
}

/**
 * ROUGE-L as the Python package rouge_score 0.1.2 has it with `use_stemmer=True`: precision, recall and F1 of the longest
 * common subsequence of stemmed words, each in [0, 1]. Of several references, the first with the highest F1 counts.
 * A text without words scores 0.
 *
 * @throws ArgumentError when there is no reference
 */
export function rougeL(prediction: string, references: readonly string[]): RougeScore {
  if (references.length === 0) throw new ArgumentError('rougeL: expected 1 reference or more, got none');
  const predicted = rougeTokens(prediction);
  const scores = references.map((reference) => score(predicted, rougeTokens(reference)));
  return scores.reduce((best, each) => (each.fmeasure > best.fmeasure ? each : best));
}

/** The words of a text: lower-case runs of a to z and 0 to 9, those of more than 3 characters stemmed. */
function rougeTokens(text: string): string[] {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return words.map((word) => (word.length > 3 ? porterStem(word) : word));
}

function score(predicted: readonly string[], expected: readonly string[]): RougeScore {
  if (predicted.length === 0 || expected.length === 0) return { precision: 0, recall: 0, fmeasure: 0 };
  const common = longestCommonSubsequence(predicted, expected);
  const precision = common / predicted.length;
  const recall = common / expected.length;
  return { precision, recall, fmeasure: common === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

/** Its length. One row of the table of lengths of prefixes is kept at a time. */
function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  const ids = new Map<string, number>();
  const idOf = (token: string) => ids.get(token) ?? (ids.set(token, ids.size), ids.size - 1);
  const columns = Int32Array.from(b, idOf);
  const lengths = new Int32Array(b.length + 1); // of a's tokens so far and b's first j
  for (const token of a) {
    const id = idOf(token);
    let diagonal = 0;
    for (let j = 0; j < columns.length; j++) {
      const above = lengths[j + 1]!;
      if (columns[j] === id) lengths[j + 1] = diagonal + 1;
      else if (lengths[j]! > above) lengths[j + 1] = lengths[j]!;
      diagonal = above;
    }
  }
  return lengths[b.length]!;
}
