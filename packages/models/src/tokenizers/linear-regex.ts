// Regular expressions whose time is linear in the text, for patterns that nobody vouches for: all paths are followed at once
// (Thompson 1968; with the priorities of a backtracking engine, as in Pike's VM and RE2).
import { atOnce, STEP, type Stream } from './steps';

/** Of a pattern, counted repetitions written out. */
const MAX_INSTRUCTIONS = 10_000;

/** Characters that a lookahead may look at. */
const MAX_LOOK = 8;

/** Instructions to run over a text, beside some for each character. Time is linear for one match, and not for all where each looks far ahead. */
const MAX_STEPS = 1e7;
const MAX_STEPS_PER_CHARACTER = 200;

type Instruction =
  | { readonly op: 'character'; readonly test: (codePoint: number) => boolean }
  | { readonly op: 'fork'; first: number; second: number }
  | { readonly op: 'look'; readonly program: readonly Instruction[]; readonly behind: boolean; readonly negative: boolean }
  | { readonly op: 'match' };

interface Node {
  emit(program: Instruction[]): void;
  /** Characters that it takes, at least and at most. */
  readonly width: readonly [number, number];
}

/** A translated pattern of the subset that tokenizers use: classes, groups, quantifiers, and lookarounds of few characters. */
export class LinearRegex {
  readonly #program: readonly Instruction[];

  /** @param source of a JavaScript pattern with the flag `u` @throws SyntaxError for what is not of the subset */
  constructor(source: string) {
    this.#program = compile(new Parser(source).whole());
  }

  /**
   * All matches in order, with the rules of Oniguruma's iterator: none is empty where another ends.
   * @throws RangeError when it would take more than some seconds
   */
  *stream(text: string): Stream<[number, number]> {
    const budget = { steps: MAX_STEPS + MAX_STEPS_PER_CHARACTER * text.length };
    let last = -1;
    let from = 0;
    while (from <= text.length) {
      const match = yield* run(this.#program, text, from, text.length, false, budget);
      if (!match) break;
      const [begin, end] = match;
      if (begin !== end || last !== end) yield match;
      last = end;
      from = begin === end ? end + size(text, end) : end;
    }
  }

  /** The same at once. */
  matches(text: string): [number, number][] {
    return Array.from(this.stream(text)).filter((match) => match !== undefined);
  }
}

function size(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

/** Threads of one position, the one to prefer first, each instruction once. */
class Threads {
  readonly at: number[] = [];
  readonly begins: number[] = [];
  readonly #generation: Int32Array;
  #current = 0;

  constructor(instructions: number) {
    this.#generation = new Int32Array(instructions);
  }

  clear(): void {
    this.at.length = 0;
    this.begins.length = 0;
    this.#current++;
  }

  /** Whether it is new. */
  visit(instruction: number): boolean {
    if (this.#generation[instruction] === this.#current) return false;
    this.#generation[instruction] = this.#current;
    return true;
  }
}

/** @param last position up to which characters are taken @param anchored whether a match has to begin at `from` */
function* run(
  program: readonly Instruction[], text: string, from: number, last: number, anchored: boolean, budget: { steps: number },
): Generator<undefined, [number, number] | null, undefined> {
  let current = new Threads(program.length);
  let next = new Threads(program.length);
  let match: [number, number] | null = null;
  const follow = (threads: Threads, start: number, begin: number, position: number) => {
    const pending = [start];
    while (pending.length > 0) {
      const at = pending.pop()!;
      if (!threads.visit(at)) continue;
      budget.steps--;
      const instruction = program[at]!;
      if (instruction.op === 'fork') pending.push(instruction.second, instruction.first);
      else if (instruction.op === 'look') {
        if (looks(instruction, text, position, budget) !== instruction.negative) pending.push(at + 1);
      } else {
        threads.at.push(at);
        threads.begins.push(begin);
      }
    }
  };
  current.clear();
  for (let position = from; ; ) {
    if (!match && (!anchored || position === from)) follow(current, 0, position, position);
    if (current.at.length === 0 && (match || anchored)) return match;
    if (budget.steps < 0) throw new RangeError('it takes too long on this text');
    if (position % STEP === 0) yield;
    const codePoint = position < last ? text.codePointAt(position)! : -1;
    const after = position + (codePoint > 0xffff ? 2 : 1);
    next.clear();
    for (let thread = 0; thread < current.at.length; thread++) {
      const instruction = program[current.at[thread]!]!;
      budget.steps--;
      if (instruction.op === 'match') {
        match = [current.begins[thread]!, position];
        break; // what is preferred less is given up
      }
      if (instruction.op === 'character' && codePoint >= 0 && instruction.test(codePoint)) {
        follow(next, current.at[thread]! + 1, current.begins[thread]!, after);
      }
    }
    if (codePoint < 0) return match;
    [current, next] = [next, current];
    position = after;
  }
}

function looks({ program, behind }: Instruction & { op: 'look' }, text: string, position: number, budget: { steps: number }): boolean {
  if (!behind) return atOnce(run(program, text, position, Math.min(text.length, position + 2 * MAX_LOOK), true, budget)) !== null;
  if (position === 0) return false;
  const isPair = position > 1 && (text.codePointAt(position - 2) ?? 0) > 0xffff;
  return atOnce(run(program, text, position - (isPair ? 2 : 1), position, true, budget)) !== null;
}

function compile(node: Node): Instruction[] {
  const program: Instruction[] = [];
  node.emit(program);
  program.push({ op: 'match' });
  return program;
}

function add(program: Instruction[], instruction: Instruction): void {
  if (program.length >= MAX_INSTRUCTIONS) throw new SyntaxError('it is too large');
  program.push(instruction);
}

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  whole(): Node {
    const node = this.#alternatives(0);
    if (this.#at < this.#source.length) throw new SyntaxError('a bracket is closed that was not opened');
    return node;
  }

  #alternatives(depth: number): Node {
    if (depth > 100) throw new SyntaxError('groups are nested too deep');
    const branches = [this.#sequence(depth)];
    while (this.#take('|')) branches.push(this.#sequence(depth));
    return branches.reduceRight((rest, branch) => either(branch, rest));
  }

  #sequence(depth: number): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source[this.#at]!)) parts.push(this.#quantified(depth));
    return sequence(parts);
  }

  #quantified(depth: number): Node {
    const atom = this.#atom(depth);
    const quantifier = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})/.exec(this.#source.slice(this.#at, this.#at + 32));
    if (!quantifier) return atom;
    this.#at += quantifier[0].length;
    const lazy = this.#take('?');
    if (/[*+?{]/.test(this.#source[this.#at] ?? '')) throw new SyntaxError('a quantifier of a quantifier is not read');
    const [least, most] = boundsOf(quantifier);
    if (least > MAX_INSTRUCTIONS || (most > MAX_INSTRUCTIONS && most < Infinity)) throw new SyntaxError('it is too large');
    // What takes nothing is there or not, however often.
    return atom.width[1] === 0 ? repeated(atom, Math.min(least, 1), Math.min(most, 1), lazy) : repeated(atom, least, most, lazy);
  }

  #atom(depth: number): Node {
    const group = /^\((?:\?(?::|<?[=!]|<\w+>))?/.exec(this.#source.slice(this.#at, this.#at + 64))?.[0];
    if (group !== undefined) {
      this.#at += group.length;
      const body = this.#alternatives(depth + 1);
      if (!this.#take(')')) throw new SyntaxError('a group is not closed');
      return /^\(\?<?[=!]$/.test(group) ? look(body, group.includes('<'), group.endsWith('!')) : body;
    }
    return character(this.#class());
  }

  /** The source of what matches one character. */
  #class(): string {
    const rest = this.#source.slice(this.#at);
    const found = /^(?:\\(?:[pPu]\{[^}]*\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|[^1-9bBk])|\[(?:\\.|[^\\\]])*\]|[^\\[\]{}()*+?|])/su.exec(rest)?.[0];
    if (found === undefined) throw new SyntaxError(`${rest.slice(0, 8)} is not read`);
    this.#at += found.length;
    return found;
  }

  #take(wanted: string): boolean {
    if (this.#source[this.#at] !== wanted) return false;
    this.#at++;
    return true;
  }
}

function boundsOf([whole, least, comma, most]: RegExpExecArray): [number, number] {
  if (whole === '*') return [0, Infinity];
  if (whole === '+') return [1, Infinity];
  if (whole === '?') return [0, 1];
  return [Number(least), comma === '' ? Number(least) : most === '' ? Infinity : Number(most)];
}

function character(source: string): Node {
  const regex = new RegExp(`^(?:${source})$`, 'u');
  const known = new Map<number, boolean>();
  const test = (codePoint: number): boolean => {
    let answer = known.get(codePoint);
    if (answer === undefined) known.set(codePoint, (answer = regex.test(String.fromCodePoint(codePoint))));
    return answer;
  };
  return { width: [1, 1], emit: (program) => add(program, { op: 'character', test }) };
}

function sequence(parts: readonly Node[]): Node {
  return {
    width: [parts.reduce((sum, { width }) => sum + width[0], 0), parts.reduce((sum, { width }) => sum + width[1], 0)],
    emit: (program) => parts.forEach((part) => part.emit(program)),
  };
}

/** Instructions that skip a node: a fork whose end is set later. */
function fork(program: Instruction[]): { op: 'fork'; first: number; second: number } {
  const instruction = { op: 'fork' as const, first: program.length + 1, second: program.length + 1 };
  add(program, instruction);
  return instruction;
}

function either(a: Node, b: Node): Node {
  return {
    width: [Math.min(a.width[0], b.width[0]), Math.max(a.width[1], b.width[1])],
    emit(program) {
      const choice = fork(program);
      a.emit(program);
      const end = fork(program);
      choice.second = program.length;
      b.emit(program);
      end.first = end.second = program.length;
    },
  };
}

function repeated(node: Node, least: number, most: number, lazy: boolean): Node {
  const optional = (program: Instruction[], body: () => void, skipTo: () => number) => {
    const choice = fork(program);
    body();
    const [inside, outside] = [choice.first, skipTo()];
    [choice.first, choice.second] = lazy ? [outside, inside] : [inside, outside];
  };
  return {
    width: [node.width[0] * least, node.width[1] === 0 ? 0 : node.width[1] * most],
    emit(program) {
      for (let i = 0; i < least; i++) node.emit(program);
      if (most === Infinity) {
        const start = program.length;
        optional(
          program,
          () => {
            node.emit(program);
            const again = fork(program);
            again.first = again.second = start;
          },
          () => program.length,
        );
        return;
      }
      for (let i = least; i < most; i++) optional(program, () => node.emit(program), () => program.length);
    },
  };
}

function look(body: Node, behind: boolean, negative: boolean): Node {
  if (behind && (body.width[0] !== 1 || body.width[1] !== 1)) throw new SyntaxError('a lookbehind of other than one character is not read');
  if (!behind && body.width[1] > MAX_LOOK) throw new SyntaxError(`a lookahead of more than ${MAX_LOOK} characters is not read`);
  const program = compile(body);
  return { width: [0, 0], emit: (outer) => add(outer, { op: 'look', program, behind, negative }) };
}
