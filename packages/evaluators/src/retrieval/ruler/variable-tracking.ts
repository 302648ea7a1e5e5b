// Variable tracking: lm-evaluation-harness 0.4.13, lm_eval/tasks/ruler/vt_utils.py.
import { ArgumentError } from '@mixsga/backend';

import type { RulerTask, Sizing } from './task';

const NAME = 'ruler_vt';
const NEW_TOKENS = 30;
const HOPS = 4;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const NOISE = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n';
/** The example before the question: shorter names, and 500 tokens at most. */
const EXAMPLE = { letters: 3, step: 5, length: 500 };
/** How often a sample of the smallest size is drawn anew when it is too long. The harness never ends there. */
const TRIES = 100;

/** `VAR ABCDE = 12345`, `VAR FGHIJ = VAR ABCDE ` and so on, among noise. */
interface Chain {
  readonly context: string;
  readonly question: string;
  readonly answerPrefix: string;
  readonly variables: readonly string[];
}

interface Size {
  /** Of a variable's name. */
  readonly letters: number;
  /** Lines of noise that are added at a time. */
  readonly step: number;
  /** Tokens, those of the example and the answer among them. */
  readonly length: number;
  readonly example: number;
}

/** All variables of a chain of assignments have to be named; another chain comes before as an example. */
export const variableTracking: RulerTask = {
  name: NAME,
  maxNewTokens: NEW_TOKENS,
  haystack: 'noise',
  async *samples(sizing) {
    const example = await chainThatFits(await largest({ ...EXAMPLE, example: 0 }, sizing), { ...EXAMPLE, example: 0 }, sizing);
    const exampleText = `${textOf(example.chain)} ${example.chain.variables.join(' ')}\n\n`;
    const size = { letters: 5, step: 10, length: sizing.length, example: await sizing.count(exampleText) };
    const lines = await largest(size, sizing);
    for (let index = 0; ; index++) {
      const { chain, tokens } = await chainThatFits(lines, size, sizing);
      const { context, question, answerPrefix, variables: answers } = chain;
      const renamed = example.chain.variables.reduce((text, name) => text.replaceAll(name, drawName(name.length, sizing)), exampleText);
      yield { context: `${renamed}\n\n${context}`, question, answerPrefix: answerPrefix.trimEnd(), answers, depth: null, index, tokens };
    }
  },
};

/** Lines of noise for which the first chain that is drawn fits. */
async function largest(size: Size, sizing: Sizing): Promise<number> {
  const { step, length, example } = size;
  let lines = step;
  for (let tokens = 0; tokens + NEW_TOKENS + example < length; lines += step) {
    const chain = makeChain(lines, size, sizing)!;
    tokens = await sizing.count(`${textOf(chain)} [${chain.variables.map((name) => `'${name}'`).join(', ')}]`);
    if (tokens + NEW_TOKENS + example > length) return lines - step;
    sizing.expectGrowth(lines);
  }
  return lines;
}

async function chainThatFits(lines: number, size: Size, sizing: Sizing): Promise<{ chain: Chain; tokens: number }> {
  const { step, length, example } = size;
  let least: number | null = null;
  for (let used = lines, tries = 0; tries < TRIES; ) {
    const chain = makeChain(used, size, sizing);
    if (chain) {
      const tokens = (await sizing.count(textOf(chain))) + NEW_TOKENS + example;
      if (tokens <= length) return { chain, tokens };
      least = Math.min(tokens, least ?? Infinity);
    }
    if (used > step) used -= step;
    else tries++;
  }
  if (example > 0) throw sizing.tooShort(NAME, least);
  throw new ArgumentError(`ruler: expected a tokenizer that takes the example of ${NAME} for at most ${length} tokens, got one that takes more; leave the task out`);
}

/** @returns null without noise to hide it in */
function makeChain(lines: number, { letters }: Size, sizing: Sizing): Chain | null {
  const { random, numpy } = sizing;
  const variables = Array.from({ length: HOPS + 1 }, () => drawName(letters, sizing));
  const value = numpy.randint(10_000, 99_999);
  const assignments = variables.map((name, i) => (i === 0 ? `VAR ${name} = ${value}` : `VAR ${name} = VAR ${variables[i - 1]} `));
  const text = lines > assignments.length ? Array.from({ length: lines }, () => NOISE) : sentencesOf(lines);
  if (text.length < assignments.length) return null;
  const places = random.sample(Array.from(text.keys()), assignments.length).sort((a, b) => a - b);
  places.forEach((place, i) => text.splice(place + i, 0, assignments[i]!));
  const noisy = text.join(' ').replaceAll('. \n', '.\n');
  return {
    context: `Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n${noisy}`,
    question: `\nQuestion: Find all variables that are assigned the value ${value} in the text above.`,
    // The harness writes "assgined".
    answerPrefix: ` Answer: According to the chain(s) of variable assignment in the text above, ${HOPS + 1} variables are assgined the value ${value}, they are: `,
    variables,
  };
}

/** A few lines cut at each full stop, so that there are places enough. */
function sentencesOf(lines: number): string[] {
  const pieces = Array.from({ length: lines }, () => NOISE.split('.')).flat();
  return pieces.map((piece) => (piece.trim() === '' ? piece : `${piece}.`));
}

function drawName(letters: number, { random }: Sizing): string {
  return random.choices(LETTERS, letters).join('');
}

function textOf({ context, question, answerPrefix }: Chain): string {
  return context + question + answerPrefix;
}
