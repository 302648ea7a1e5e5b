/** The parts of a corpus. */
export interface Parts<T> {
  train: T;
  validation: T;
  test: T;
}

export const PART_NAMES = ['train', 'validation', 'test'] as const satisfies readonly (keyof Parts<unknown>)[];

/** The newest addresses, kept for the test part: a later time than any text trained on. */
const TEST_ADDRESSES = 12;

/** The split of the embedded corpus: the last 12 addresses test, every tenth of the others validation, the rest train. */
export function splitAddresses<T>(addresses: readonly T[]): Parts<T[]> {
  const others = addresses.slice(0, -TEST_ADDRESSES);
  return {
    train: others.filter((_, i) => i % 10 !== 9),
    validation: others.filter((_, i) => i % 10 === 9),
    test: addresses.slice(-TEST_ADDRESSES),
  };
}

/** Below this many documents, whole documents are too coarse a measure of 5 %. */
export const LEAST_DOCUMENTS = 20;

/** The part of a document of many: the 10th of every 20 validates and the 20th tests. */
export function partOfDocument(index: number): keyof Parts<unknown> {
  if (index % 20 === 9) return 'validation';
  return index % 20 === 19 ? 'test' : 'train';
}

/**
 * The split of a user's corpus into 90 % train, 5 % validation and 5 % test: of 20 documents or more, whole
 * ones as {@link partOfDocument} has it; fewer are joined by a blank line and cut by position, each cut moved
 * to the white space before it.
 */
export function splitDocuments(documents: readonly string[]): Parts<string[]> {
  if (documents.length >= LEAST_DOCUMENTS) {
    const ofPart = (part: keyof Parts<unknown>) => documents.filter((_, i) => partOfDocument(i) === part);
    return { train: ofPart('train'), validation: ofPart('validation'), test: ofPart('test') };
  }
  const text = documents.join(DOCUMENT_SEPARATOR);
  const first = wordBoundary(text, Math.floor(text.length * 0.9));
  const second = wordBoundary(text, Math.floor(text.length * 0.95));
  return {
    train: [text.slice(0, first).trim()],
    validation: [text.slice(first, second).trim()],
    test: [text.slice(second).trim()],
  };
}

/** Stands between the documents of a part, as windowed token perplexity is defined: a blank line, no special token. */
export const DOCUMENT_SEPARATOR = '\n\n';

/** How far a cut may move to find white space: text of a script without any is cut at a character. */
const LONGEST_MOVE = 200;

function wordBoundary(text: string, position: number): number {
  for (let i = position; i > Math.max(0, position - LONGEST_MOVE); i--) {
    if (/\s/.test(text[i]!)) return i;
  }
  const splitsPair = /[\uDC00-\uDFFF]/.test(text[position] ?? '');
  return splitsPair ? position - 1 : position;
}
