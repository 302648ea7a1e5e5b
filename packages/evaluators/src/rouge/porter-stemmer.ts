/** A condition on the stem that a rule leaves, and the suffix's replacement. Of a list, the first suffix that fits decides. */
type Rule = readonly [suffix: string, replacement: string, condition?: (stem: string) => boolean];

/** Words whose stems are known. */
const IRREGULAR: Readonly<Record<string, string>> = {
  sky: 'sky', skies: 'sky', dying: 'die', lying: 'lie', tying: 'tie', news: 'news', inning: 'inning', innings: 'inning',
  outing: 'outing', outings: 'outing', canning: 'canning', cannings: 'canning', howe: 'howe', proceed: 'proceed',
  exceed: 'exceed', succeed: 'succeed',
};

const positive = (stem: string) => measure(stem) > 0;
const aboveOne = (stem: string) => measure(stem) > 1;

const PLURALS: readonly Rule[] = [['sses', 'ss'], ['ies', 'i'], ['ss', 'ss'], ['s', '']];

const AFTER_ED_AND_ING: readonly Rule[] = [['at', 'ate'], ['bl', 'ble'], ['iz', 'ize']];

const FINAL_Y: readonly Rule[] = [['y', 'i', (stem) => stem.length > 1 && consonants(stem).at(-1)!]];

const DOUBLE_SUFFIXES: readonly Rule[] = [
  ...Object.entries({
    ational: 'ate', tional: 'tion', enci: 'ence', anci: 'ance', izer: 'ize', bli: 'ble', alli: 'al', entli: 'ent', eli: 'e',
    ousli: 'ous', ization: 'ize', ation: 'ate', ator: 'ate', alism: 'al', iveness: 'ive', fulness: 'ful', ousness: 'ous',
    aliti: 'al', iviti: 'ive', biliti: 'ble', fulli: 'ful',
  }).map(([suffix, replacement]): Rule => [suffix, replacement, positive]),
  ['logi', 'log', (stem) => positive(`${stem}l`)],
];

const IC_FULL_NESS: readonly Rule[] = Object.entries({
  icate: 'ic', ative: '', alize: 'al', iciti: 'ic', ical: 'ic', ful: '', ness: '',
}).map(([suffix, replacement]) => [suffix, replacement, positive]);

const LAST_SUFFIXES: readonly Rule[] = [
  ...['al', 'ance', 'ence', 'er', 'ic', 'able', 'ible', 'ant', 'ement', 'ment', 'ent'].map((suffix): Rule => [suffix, '', aboveOne]),
  ['ion', '', (stem) => aboveOne(stem) && /[st]$/.test(stem)],
  ...['ou', 'ism', 'ate', 'iti', 'ous', 'ive', 'ize'].map((suffix): Rule => [suffix, '', aboveOne]),
];

const FINAL_E: readonly Rule[] = [['e', '', (stem) => aboveOne(stem) || (positive(stem) && !endsShort(stem))]];

const FINAL_LL: readonly Rule[] = [['ll', 'l', (stem) => aboveOne(`${stem}l`)]];

/**
 * The stem of a word, by Porter's algorithm (M. Porter, "An algorithm for suffix stripping", Program 14.3, 1980) with the
 * changes that NLTK's PorterStemmer makes by default: dying → die, skies → sky, flies → fli but dies → die, enjoy → enjoy.
 *
 * @param word lower-case letters a to z and digits
 */
export function porterStem(word: string): string {
  if (Object.hasOwn(IRREGULAR, word)) return IRREGULAR[word]!;
  if (word.length <= 2) return word;
  let stem = word.length === 4 && word.endsWith('ies') ? word.slice(0, -1) : apply(PLURALS, word); // step 1a
  stem = withoutEdAndIng(stem); // 1b
  stem = apply(FINAL_Y, stem); // 1c
  stem = withoutDoubleSuffix(stem); // 2
  stem = apply(IC_FULL_NESS, stem); // 3
  stem = apply(LAST_SUFFIXES, stem); // 4
  stem = apply(FINAL_E, stem); // 5a
  return apply(FINAL_LL, stem); // 5b
}

function apply(rules: readonly Rule[], word: string): string {
  for (const [suffix, replacement, condition] of rules) {
    if (!word.endsWith(suffix)) continue;
    const stem = word.slice(0, word.length - suffix.length);
    return !condition || condition(stem) ? stem + replacement : word;
  }
  return word;
}

function withoutEdAndIng(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, word.length === 4 ? -1 : -2);
  if (word.endsWith('eed')) return apply([['eed', 'ee', positive]], word);
  const stem = apply([['ed', '', hasVowel], ['ing', '', hasVowel]], word);
  if (stem === word) return word;
  const restored = apply(AFTER_ED_AND_ING, stem);
  if (restored !== stem) return restored;
  if (endsDouble(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1);
  return measure(stem) === 1 && endsShort(stem) ? `${stem}e` : stem;
}

/** -alli loses its last two letters before the other suffixes are looked for: fundamentalli → fundamental. */
function withoutDoubleSuffix(word: string): string {
  const isAdverb = word.endsWith('alli') && positive(word.slice(0, -4));
  return apply(DOUBLE_SUFFIXES, isAdverb ? word.slice(0, -2) : word);
}

/** Of each letter whether it is a consonant: not a, e, i, o, u, nor y after a consonant. */
function consonants(word: string): boolean[] {
  const flags: boolean[] = [];
  for (const letter of word) flags.push(letter === 'y' ? !flags.at(-1) : !'aeiou'.includes(letter));
  return flags;
}

/** Porter's m: how often a consonant follows a vowel. */
function measure(stem: string): number {
  return consonants(stem).filter((isConsonant, i, flags) => isConsonant && flags[i - 1] === false).length;
}

function hasVowel(stem: string): boolean {
  return consonants(stem).includes(false);
}

/** Porter's *d: ends with the same consonant twice. */
function endsDouble(stem: string): boolean {
  return stem.length >= 2 && stem.at(-1) === stem.at(-2) && consonants(stem).at(-1)!;
}

/** Porter's *o: ends consonant, vowel, consonant, the last not w, x or y; NLTK: also vowel, consonant alone. */
function endsShort(stem: string): boolean {
  const [third, second, last] = consonants(stem).slice(-3);
  if (stem.length === 2) return third === false && second === true;
  return third === true && second === false && last === true && !/[wxy]$/.test(stem);
}
