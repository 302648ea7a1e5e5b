// Frequent words: lm-evaluation-harness 0.4.13, lm_eval/tasks/ruler/fwe_utils.py.
import { PythonRandom } from '../random/python-random';
import type { RulerTask, Sizing } from './task';

const NAME = 'ruler_fwe';
const NEW_TOKENS = 50;
const WORD_LENGTH = 6;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const SHUFFLING_SEED = 42;
/** ζ(2) as scipy gives it. */
const ZETA_2 = 1.6449340668482264;
const ANSWER_PREFIX = 'Answer: According to the coded text above, the three most frequently appeared words are:';
const QUESTION =
  "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text?";

/** The three most frequent words of a text of invented ones, whose frequencies follow Zipf's law with exponent 2. The prompt alone fills the length. */
export const frequentWords: RulerTask = {
  name: NAME,
  maxNewTokens: NEW_TOKENS,
  haystack: 'words',
  async *samples(sizing) {
    const { length } = sizing;
    const step = Math.floor(length / 32);
    const size = Math.floor(length / 50);
    // Dots and three words.
    if (size < 4) throw sizing.tooShort(NAME, 200);
    let most = Math.floor(length / WORD_LENGTH);
    const first = drawWords(size, sizing);
    for (; (await sizing.count(textOf(first, most))) < length; most += step) sizing.expectGrowth(most);
    most -= step;
    for (let index = 0; ; index++) {
      const words = drawWords(size, sizing);
      let used = most;
      let tokens = await sizing.count(textOf(words, used));
      while (tokens > length) {
        used -= step;
        if (used <= 0) throw sizing.tooShort(NAME, tokens + NEW_TOKENS);
        tokens = await sizing.count(textOf(words, used));
      }
      yield {
        context: contextOf(words, used), question: QUESTION, answerPrefix: ` ${ANSWER_PREFIX}`,
        answers: words.slice(1, 4), depth: null, index, tokens: tokens + NEW_TOKENS,
      };
    }
  },
};

/** Words by rank; the first is noise. */
function drawWords(size: number, { random }: Sizing): string[] {
  const drawn = new Set<string>();
  for (let i = 0; i < size || drawn.size < size; i++) drawn.add(random.choices(LETTERS, WORD_LENGTH).join(''));
  const words = [...drawn].sort((a, b) => (a < b ? -1 : 1));
  new PythonRandom(SHUFFLING_SEED).shuffle(words);
  words[0] = '...';
  return words;
}

function contextOf(words: readonly string[], count: number): string {
  const text = words.flatMap((word, rank) => Array.from({ length: Math.floor((count * (rank + 1) ** -2) / ZETA_2) }, () => word));
  new PythonRandom(SHUFFLING_SEED).shuffle(text);
  return `Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. ${text.join(' ')}`;
}

function textOf(words: readonly string[], count: number): string {
  return `${contextOf(words, count)}${QUESTION} ${ANSWER_PREFIX}`;
}
