import { SeededRandom } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';

import { type Address, readSotu } from './sotu';
import { type Parts, splitAddresses } from './split';

/** The data sets that are made of the embedded corpus, by the form of their rows. */
export type SotuSet = 'instructions' | 'hellaswag' | 'wikitext';

/** Rows of each part. */
const ROWS: Record<'instructions' | 'hellaswag', Parts<number>> = {
  instructions: { train: 2000, validation: 200, test: 200 },
  hellaswag: { train: 2000, validation: 1000, test: 1000 },
};

/**
 * A data set of the State of the Union addresses. Rows of a part come from the addresses of that part of the corpus, are the same
 * on every machine, and fit a context of 256 tokens of the shipped tokenizer (but pages, which are as long as an address).
 *
 * @param set `instructions`: `{instruction, context, response, category}`, Dolly's names; `hellaswag`: a passage, the sentence that
 *   follows and three from other addresses, under HellaSwag's names; `wikitext`: `{page}`, an address each
 * @throws FileError when the package of the corpus is not whole
 */
export async function sotuRows(set: SotuSet, part: keyof Parts<unknown>): Promise<DataRow[]> {
  const addresses = splitAddresses(await readSotu())[part];
  const values = makers[set](addresses, part);
  return values.map((value, i) => ({ value, where: `sotu ${set}, ${part}: row ${i + 1}` }));
}

const makers: Record<SotuSet, (addresses: readonly Address[], part: keyof Parts<unknown>) => object[]> = {
  instructions(addresses, part) {
    const sources = addresses.map((address) => ({ address, passages: passagesOf(address) }));
    const random = new SeededRandom(ROWS.instructions[part], sources.length);
    const kinds = Object.entries(instructionKinds);
    const seen = new Set<string>();
    const rows: object[] = [];
    for (let i = 0; rows.length < ROWS.instructions[part]; i++) {
      const [category, make] = kinds[(i + Math.floor(i / sources.length)) % kinds.length]!;
      const { address, passages } = sources[i % sources.length]!;
      const row = make(address, pick(passages, random), random);
      if (row === null || seen.has(row.instruction + row.context)) continue;
      seen.add(row.instruction + row.context);
      rows.push({ ...row, category });
    }
    return rows;
  },
  hellaswag(addresses, part) {
    const sources = addresses.map(passagesOf);
    const random = new SeededRandom(ROWS.hellaswag[part], sources.length);
    return Array.from({ length: ROWS.hellaswag[part] }, (_, i) => {
      const own = i % sources.length;
      const { text, next } = pick(sources[own]!, random);
      const endings: string[] = [];
      while (endings.length < 3) {
        const other = random.nextInt(sources.length);
        const wrong = pick(sources[other]!, random).next;
        const alike = Math.abs(wrong.length - next.length) <= 0.2 * next.length; // length alone must not tell
        if (other !== own && alike && !endings.includes(wrong)) endings.push(wrong);
      }
      const label = random.nextInt(4);
      endings.splice(label, 0, next);
      return { ind: i, activity_label: 'State of the Union', ctx_a: text, ctx_b: '', ctx: text, endings, label: String(label) };
    });
  },
  wikitext: (addresses) => addresses.map(({ text }) => ({ page: text })),
};

interface InstructionRow {
  instruction: string;
  context: string;
  response: string;
}

/** What is asked, in turn; null where an address does not answer it. */
const instructionKinds: Record<string, (address: Address, passage: Passage, random: SeededRandom) => InstructionRow | null> = {
  continuation: (_, { text, next }) => ({ instruction: 'Write the sentence that follows.', context: text, response: next }),
  president: ({ president }, { text }) => ({ instruction: 'Name the president who spoke these words.', context: text, response: fullName(president) }),
  decade: ({ year }, { text }) => ({ instruction: 'Name the decade of this address.', context: text, response: `The ${year - (year % 10)}s` }),
  party({ id }, { text }) {
    const party = PARTIES[/[a-z]+$/.exec(id)![0]];
    return party === undefined ? null : { instruction: 'Name the party of the president who spoke these words.', context: text, response: party };
  },
  word(_, { text }, random) {
    const words = [...text.matchAll(/(?<= )[a-z]{5,}(?=[ ,;.])/g)];
    if (words.length === 0) return null;
    const { index, 0: word } = pick(words, random);
    return { instruction: 'Give the missing word.', context: `${text.slice(0, index)}____${text.slice(index + word.length)}`, response: word };
  },
  opening({ year, president, text }) {
    const first = sentencesOf(text)[0]!.replace(/^[^:]{0,140}: /, '');
    if (first.length > LONGEST_NEXT) return null;
    return { instruction: `Write how President ${fullName(president)} began the address of ${year}.`, context: '', response: first };
  },
};

/** By the ending of a file's name; George Washington had none, and John Tyler two. */
const PARTIES: Readonly<Record<string, string>> = {
  f: 'Federalist', dr: 'Democratic-Republican', d: 'Democratic', w: 'Whig', r: 'Republican', nu: 'National Union',
};

/** Sentences that follow each other, and the one after them. */
interface Passage {
  text: string;
  next: string;
}

const SHORTEST_TEXT = 60;
const LONGEST_TEXT = 240;
const SHORTEST_NEXT = 25;
const LONGEST_NEXT = 160;

/** A passage from every sentence of an address on that begins one of the wanted length. */
function passagesOf(address: Address): Passage[] {
  const sentences = sentencesOf(address.text);
  return sentences.flatMap((_, start) => {
    let text = sentences[start]!;
    let end = start + 1;
    while (end < sentences.length && text.length < SHORTEST_TEXT) text = `${text} ${sentences[end++]!}`;
    const next = sentences[end] ?? '';
    const fits = text.length >= SHORTEST_TEXT && text.length <= LONGEST_TEXT && next.length >= SHORTEST_NEXT && next.length <= LONGEST_NEXT;
    return fits && !/[<>[\]]/.test(text + next) ? [{ text, next }] : [];
  });
}

/** A sentence ends after a word of three small letters or more, so that "Mr." and "U.S." end none. */
function sentencesOf(text: string): string[] {
  return text.replace(/\s+/g, ' ').split(/(?<=[a-z]{3}[.!?]) (?=[A-Z])/);
}

/** `william_mc_kinley` as "William McKinley", `franklin_d_roosevelt` as "Franklin D. Roosevelt". */
function fullName(president: string): string {
  const words = president.split('_').map((word) => word[0]!.toUpperCase() + word.slice(1) + (word.length === 1 ? '.' : ''));
  return words.join(' ').replace('Mc ', 'Mc');
}

function pick<T>(values: readonly T[], random: SeededRandom): T {
  return values[random.nextInt(values.length)]!;
}
