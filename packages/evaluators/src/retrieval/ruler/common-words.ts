// Common words: lm-evaluation-harness 0.4.13, lm_eval/tasks/ruler/cwe_utils.py.
import { PythonRandom } from '../random/python-random';
import { ADJECTIVES, NOUNS, VERBS } from '../random/words.generated';
import type { RulerTask, Sizing } from './task';

const NAME = 'ruler_cwe';
const NEW_TOKENS = 120;
/** Words that are asked for. */
const COMMON = 10;
/** Words that are added at a time. */
const STEP = 10;
/** Of the order of words. */
const SHUFFLING_SEED = 42;
const ANSWER_PREFIX = 'Answer: The top 10 words that appear most often in the list are:';
/** How often a sample of the smallest size is drawn anew when it is too long. The harness never ends there. */
const TRIES = 100;

/** How many words a list has, and how often the common and the others come. */
interface Repeats {
  readonly words: number;
  readonly common: number;
  readonly others: number;
}

/** The ten most common words of a numbered list. The harness draws an example too, and does not show it to the model. */
export const commonWords: RulerTask = {
  name: NAME,
  maxNewTokens: NEW_TOKENS,
  haystack: 'words',
  async *samples(sizing) {
    const lists = new WordLists(sizing);
    const words = await largest(lists, sizing);
    for (let index = 0; ; index++) {
      const { list, tokens } = await listThatFits(words, lists, sizing);
      yield { context: list.context, question: QUESTION, answerPrefix: `\n\n${ANSWER_PREFIX}`, answers: list.common, depth: null, index, tokens };
    }
  },
};

const QUESTION = '\nQuestion: What are the 10 most common words in the above list?';

/** Words for which the first list that is drawn fits, with its example and answer. */
async function largest(lists: WordLists, sizing: Sizing): Promise<number> {
  const { length } = sizing;
  let words = STEP;
  for (let tokens = 0; tokens + NEW_TOKENS < length; ) {
    const { example, context, common } = lists.draw(words);
    tokens = await sizing.count(`${example}\n${textOf(context)} ${numbered(common)}`);
    if (tokens + NEW_TOKENS > length) return words - STEP;
    words += STEP;
    if (words > lists.words.length) return lists.words.length;
  }
  return words;
}

async function listThatFits(words: number, lists: WordLists, sizing: Sizing): Promise<{ list: ReturnType<WordLists['draw']>; tokens: number }> {
  let least: number | null = null;
  for (let used = words, tries = 0; tries < TRIES && words >= COMMON; ) {
    const list = lists.draw(used);
    const tokens = (await sizing.count(textOf(list.context))) + NEW_TOKENS;
    if (tokens <= sizing.length) return { list, tokens };
    least = Math.min(tokens, least ?? Infinity);
    if (used > STEP) used -= STEP;
    else tries++;
  }
  throw sizing.tooShort(NAME, least);
}

class WordLists {
  readonly words: readonly string[];
  /** One for all lists of a task. */
  readonly #order = new PythonRandom(SHUFFLING_SEED);
  readonly #sizes: { readonly example: Repeats; readonly list: Omit<Repeats, 'words'> };

  constructor(private readonly sizing: Sizing) {
    const words = [...new Set([...NOUNS, ...ADJECTIVES, ...VERBS])].sort((a, b) => (a < b ? -1 : 1));
    this.#order.shuffle(words);
    this.words = words;
    this.#sizes =
      sizing.length < 4096
        ? { example: { words: 20, common: 3, others: 1 }, list: { common: 6, others: 1 } }
        : { example: { words: 40, common: 10, others: 3 }, list: { common: 30, others: 3 } };
  }

  draw(words: number): { example: string; context: string; common: string[] } {
    const example = this.#list(this.#sizes.example);
    const list = this.#list({ words, ...this.#sizes.list });
    return { example: `${textOf(contextOf(example.words))}${numbered(example.common)}`, context: contextOf(list.words), common: list.common };
  }

  #list({ words, common: often, others: seldom }: Repeats): { words: string[]; common: string[] } {
    const drawn = this.sizing.random.sample(this.words, words);
    const common = drawn.slice(0, COMMON);
    const repeated = (some: readonly string[], times: number) => Array.from({ length: times }, () => some).flat();
    const all = [...repeated(common, often), ...repeated(drawn.slice(COMMON), seldom)];
    this.#order.shuffle(all);
    return { words: all, common };
  }
}

function contextOf(words: readonly string[]): string {
  return `Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n${numbered(words)}`;
}

function textOf(context: string): string {
  return `${context}${QUESTION} ${ANSWER_PREFIX}`;
}

/** `1. word 2. word` */
function numbered(words: readonly string[]): string {
  return words.map((word, i) => `${i + 1}. ${word}`).join(' ');
}
