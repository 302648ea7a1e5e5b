// Needles in a haystack: lm-evaluation-harness 0.4.13, lm_eval/tasks/ruler/prepare_niah.py.
import { PythonRandom } from '../random/python-random';
import { wordPair, wordPairs } from '../random/word-pairs';
import { MAX_SAMPLES } from '../settings';
import type { RulerTask, SizedPrompt, Sizing } from './task';

type NeedleType = 'words' | 'numbers' | 'uuids';

interface NeedleOptions {
  /** Sentences of noise, other needles, or a text. */
  readonly haystack: 'noise' | 'needles' | 'text';
  readonly key: NeedleType;
  readonly value: NeedleType;
  readonly keys?: number;
  readonly valuesOfKey?: number;
  /** How many keys are asked for. */
  readonly queries?: number;
}

const NEW_TOKENS = 128;
const NOISE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.';
/** Shuffles needles, each time anew. */
const SHUFFLING_SEED = 42;
/** Where needles may stand in a text, in percent. */
const DEPTHS = Array.from({ length: 40 }, (_, i) => Math.round((100 * i) / 39));

/** A task whose context hides `One of the special magic numbers for KEY is: VALUE.` */
export function needles(name: string, options: NeedleOptions): RulerTask {
  return {
    name,
    maxNewTokens: NEW_TOKENS,
    haystack: options.haystack,
    samples: (sizing) => samples(name, options, sizing),
  };
}

async function* samples(name: string, options: NeedleOptions, sizing: Sizing): AsyncGenerator<SizedPrompt> {
  const { length, words } = sizing;
  const count = needleCount(options);
  const step = stepOf(options, length);
  let size = Math.max(step, count);
  for (let tokens = 0; tokens + NEW_TOKENS < length; size += step) {
    const { context, question, answers } = makePrompt(options, size, sizing)!;
    tokens = await sizing.count(context + question + answers.join(' '));
    if (tokens + NEW_TOKENS > length) {
      size -= step;
      break;
    }
    if (options.haystack === 'text' && size > words.length) {
      size = words.length;
      break;
    }
    sizing.expectGrowth(options.haystack === 'text' ? 0 : size);
  }
  size = Math.max(size, count);
  let least: number | null = null;
  for (let index = 0; index < MAX_SAMPLES; index++) {
    for (let used = size; used > 0; used -= step) {
      const prompt = makePrompt(options, used, sizing);
      if (!prompt) continue;
      const tokens = (await sizing.count(prompt.context + prompt.question)) + NEW_TOKENS;
      least = Math.min(tokens, least ?? Infinity);
      if (tokens > length) continue;
      yield { ...prompt, index, tokens };
      break;
    }
  }
  throw sizing.tooShort(name, least);
}

/** Words of a text, or sentences, that a haystack grows by. Below 4,096 tokens, where 500 words are too coarse, ours has 25. */
function stepOf({ haystack }: NeedleOptions, length: number): number {
  if (haystack === 'text') return length < 4096 ? 25 : 500;
  return length < 4096 ? 5 : 25;
}

function keyCount({ keys = 1, queries = 1 }: NeedleOptions): number {
  return Math.max(keys, queries);
}

function needleCount(options: NeedleOptions): number {
  return keyCount(options) * (options.valuesOfKey ?? 1);
}

/** @returns null for a haystack with fewer places than there are needles */
function makePrompt(options: NeedleOptions, size: number, sizing: Sizing): Omit<SizedPrompt, 'index' | 'tokens'> | null {
  const { random } = sizing;
  const { valuesOfKey = 1, queries = 1, value: type } = options;
  const keys = Array.from({ length: keyCount(options) }, () => {
    const key = draw(random, options.key);
    return { key, values: Array.from({ length: valuesOfKey }, () => draw(random, type)) };
  });
  const hidden = keys.flatMap(({ key, values }) => values.map((value) => needle(type, key, value)));
  new PythonRandom(SHUFFLING_SEED).shuffle(hidden);
  const haystack = options.haystack === 'text' ? hideInText(hidden, size, sizing) : hideInLines(hidden, size, options, random);
  if (haystack === null) return null;
  const asked = random.sample(keys, queries);
  const names = asked.map(({ key }) => key);
  const query = names.length > 1 ? `${names.slice(0, -1).join(', ')}, and ${names.at(-1)}` : names[0]!;
  const answers = asked.flatMap(({ values }) => values);
  const single = answers.length === 1;
  const depth = single ? depthOf(haystack, needle(type, names[0]!, answers[0]!)) : null;
  return { ...wording(single ? type.slice(0, -1) : type, single, query, haystack), answers, depth };
}

function wording(what: string, single: boolean, query: string, haystack: string): Pick<SizedPrompt, 'context' | 'question' | 'answerPrefix'> {
  const begin = single ? `A special magic ${what} is` : `Some special magic ${what} are`;
  return {
    context: `${begin} hidden within the following text. Make sure to memorize it. I will quiz you about the ${what} afterwards.\n${haystack}`,
    question: `\nWhat ${single ? 'is' : 'are all'} the special magic ${what} for ${query} mentioned in the provided text?`,
    answerPrefix: ` The special magic ${what} for ${query} mentioned in the provided text ${single ? 'is' : 'are'}`,
  };
}

function draw(random: PythonRandom, type: NeedleType): string {
  if (type === 'numbers') return String(random.randint(1_000_000, 9_999_999));
  return type === 'uuids' ? random.uuid4() : wordPair(random.below(wordPairs()));
}

function needle(type: NeedleType, key: string, value: string): string {
  return `One of the special magic ${type} for ${key} is: ${value}.`;
}

function hideInLines(hidden: readonly string[], size: number, { haystack, key, value }: NeedleOptions, random: PythonRandom): string | null {
  const line = () => (haystack === 'noise' ? NOISE : needle(value, draw(random, key), draw(random, value)));
  const lines = Array.from({ length: size }, line);
  if (size < hidden.length) return null;
  const places = random.sample(Array.from(lines.keys()), hidden.length).sort((a, b) => b - a);
  places.forEach((place, i) => lines.splice(place, 0, hidden[i]!));
  return lines.join('\n');
}

function hideInText(hidden: readonly string[], size: number, { random, words }: Sizing): string {
  const sentences = sentencesOf(words.slice(0, size).join(' '));
  const places = random.sample(DEPTHS, hidden.length).map((depth) => Math.floor(sentences.length * (depth / 100)));
  const cuts = [0, ...places.sort((a, b) => a - b), sentences.length];
  const pieces = cuts.slice(1).flatMap((cut, i) => [sentences.slice(cuts[i], cut).join(' '), ...hidden.slice(i, i + 1)]);
  return pieces.join(' ');
}

/** A sentence ends at a full stop, question or exclamation mark before a space. The harness has a model that is downloaded. */
function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?]) /);
}

/** To three digits. */
function depthOf(haystack: string, hidden: string): number {
  const rest = haystack.length - hidden.length;
  return rest === 0 ? 0 : Math.round((1000 * haystack.indexOf(hidden)) / rest) / 1000;
}
