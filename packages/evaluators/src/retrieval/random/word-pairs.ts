import { ADJECTIVES, NOUNS } from './words.generated';

/** Pairs `adjective-noun` that follow each other in the sorted list. */
interface Block {
  /** Place of the first. */
  readonly first: number;
  readonly count: number;
  at(index: number): string;
}

let blocks: readonly Block[] | undefined;

/** How many different pairs there are. */
export function wordPairs(): number {
  const { first, count } = blocksOfPairs().at(-1)!;
  return first + count;
}

/** Entry `index` of `sorted(set(f"{adjective}-{noun}" …))`, a list of millions of entries which is never made. */
export function wordPair(index: number): string {
  const block = blocksOfPairs().findLast(({ first }) => first <= index)!;
  return block.at(index - block.first);
}

/**
 * An adjective's pairs stand together, in the order of the nouns. Only where one adjective with its hyphen begins another (`x-` and `x-rated-`)
 * may pairs of both mix, and be the same: these are sorted.
 */
function blocksOfPairs(): readonly Block[] {
  if (blocks) return blocks;
  const nouns = NOUNS.toSorted(byCodePoints);
  const groups: string[][] = [];
  for (const prefix of ADJECTIVES.map((adjective) => `${adjective}-`).sort(byCodePoints)) {
    const group = groups.at(-1);
    if (group && prefix.startsWith(group[0]!)) group.push(prefix);
    else groups.push([prefix]);
  }
  let first = 0;
  return (blocks = groups.map((prefixes) => {
    const [prefix] = prefixes;
    const mixed = prefixes.length > 1 ? [...new Set(prefixes.flatMap((each) => nouns.map((noun) => each + noun)))].sort(byCodePoints) : null;
    const block = { first, count: mixed?.length ?? nouns.length, at: (index: number) => mixed?.[index] ?? prefix! + nouns[index]! };
    first += block.count;
    return block;
  }));
}

/** As Python sorts texts. The lists have no character beyond U+FFFF, below which code units are code points. */
function byCodePoints(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
