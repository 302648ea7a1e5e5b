/*
 * String methods of Python that definitions of data sets rest on, where JavaScript's differ: U+FEFF is no white space in
 * Python, U+0085 and U+001C to U+001F are, and `capitalize` lowers the rest.
 */

/** A class of one white space character, as Python's `\s` and `str.isspace` have it. */
export const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';

const ENDS = new RegExp(`^${SPACE}+|${SPACE}+$`, 'g');
const END = new RegExp(`${SPACE}+$`);

export function strip(text: string): string {
  return text.replace(ENDS, '');
}

/** The text without the white space at its end, and that white space. */
export function splitEnd(text: string): [text: string, space: string] {
  const space = END.exec(text)?.[0] ?? '';
  return [text.slice(0, text.length - space.length), space];
}

/** The first character in title case, all others in lower case. */
export function capitalize(text: string): string {
  const [first = ''] = text;
  // A sigma is lowered by what stands before it.
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

/** Title case differs from upper case in letters of two parts (ß → Ss, ǆ → ǅ, ᾳ → ᾼ), and Georgian has none. */
function titleCase(character: string): string {
  if (/[\u10d0-\u10fa\u10fd-\u10ff]/.test(character)) return character;
  const digraph = DIGRAPHS[character.toLowerCase()];
  if (digraph !== undefined) return digraph;
  const upper = character.toUpperCase();
  if (character.normalize('NFD').includes(IOTA_BELOW)) return (upper.slice(0, -1) + IOTA_BELOW).normalize('NFC');
  const [head = '', ...rest] = upper;
  return head + rest.join('').toLowerCase();
}

const DIGRAPHS: Readonly<Record<string, string>> = { ǆ: 'ǅ', ǉ: 'ǈ', ǌ: 'ǋ', ǳ: 'ǲ' };
const IOTA_BELOW = '\u0345';

/** Length in Unicode code points. */
export function codePoints(text: string): number {
  return [...text].length;
}
