import { strip } from '../python-text';

/** The share of the references that an answer has in it, in any case: `string_match_all` of RULER, with lm-evaluation-harness's post-processing. */
export function stringMatchAll(answer: string, references: readonly string[]): number {
  const text = withoutControls(answer).toLowerCase();
  return references.filter((reference) => text.includes(reference.toLowerCase())).length / references.length;
}

/** Whether the first digits in an answer are the key: InfiniteBench's score of `passkey`. */
export function firstNumberIs(answer: string, key: string): boolean {
  return /[0-9]+/.exec(answer)?.[0] === key;
}

function withoutControls(text: string): string {
  return strip(strip(text).replace(/[\x00-\x1f]/g, '\n'));
}
