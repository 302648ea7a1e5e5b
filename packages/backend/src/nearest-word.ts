import { closest, distance } from 'fastest-levenshtein';

/** The candidate that a word was likely meant to be: the same but for case, hyphens and underscores, or near by edit distance; undefined where none is. */
export function nearestWord(word: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string) => text.replace(/[_-]/g, '').toLowerCase();
  const same = candidates.find((candidate) => plain(candidate) === plain(word));
  if (same !== undefined || candidates.length === 0) return same;
  const nearest = closest(word, candidates);
  return distance(word, nearest) <= Math.min(word.length / 2, Math.max(2, word.length / 3)) ? nearest : undefined;
}
