import { ArgumentError } from '@mixsga/backend';
import type { Tokenizer } from '../tokenizers/tokenizer';

/** U+FFFD at the end that may become a character: 3 of its 4 bytes, where a decoder gives one for each byte. */
const UNFINISHED = 3;

/** Ids that such an end spans at most, and one before: decoders give at least one U+FFFD for 3 bytes. */
const CONTEXT = 3 * UNFINISHED + 1;

/**
 * The text of tokens that come one by one, in whole characters, up to the first stop string. It comes in pieces that do
 * not depend on where tokens begin and end other than in their cuts, in time linear in the tokens.
 */
export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;
  readonly #stopStrings: readonly string[];
  /** The last ids: those whose text is not given out yet, and some before them, on which it may depend. */
  #ids: number[] = [];
  /** Their text; null without any. */
  #text: string | null = null;
  /** Length of their text that has been given out. */
  #given = 0;
  /** Text that may be the beginning of a stop string; that of special tokens is looked at, and never given out. */
  #held: Marked = NOTHING;
  #stopped = false;

  /**
   * @param stopStrings the one that is whole first ends the text; of two at once, the longer one. They are looked for in the text
   * with its special tokens, so that `<|im_end|>` can be one
   * @param prompt ids of the text before, on which the first token's text may depend: SentencePiece drops a leading space
   * @throws ArgumentError when a stop string is empty
   */
  constructor(tokenizer: Pick<Tokenizer, 'decode'>, stopStrings: readonly string[] = [], prompt: ArrayLike<number> = []) {
    if (stopStrings.includes('')) throw new ArgumentError('generate: expected stop strings of 1 character or more, got ""');
    this.#tokenizer = tokenizer;
    this.#stopStrings = stopStrings;
    this.#ids = Array.from(prompt).slice(-CONTEXT);
    if (this.#ids.length > 0) this.#given = wholeLength((this.#text = this.#decode(this.#ids)));
  }

  /** Whether a stop string has come. Nothing of it, and nothing after it, is given out. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes a token; gives the text that is certain now and has not been given before. Special tokens have none. */
  push(token: number): string {
    const given = this.#beforeStop(visible(this.#decoded(token)));
    const special = this.#stopped || this.#stopStrings.length === 0 ? '' : this.#specialText(token);
    if (special === '') return given;
    const unfinished = (this.#text ?? '').slice(this.#given);
    const before = this.#held;
    const text = given + this.#beforeStop(joined(visible(unfinished), hidden(special)));
    if (this.#stopped || unfinished === '') return text;
    this.#held = before; // the character may still become whole, and is not to be given twice
    return given;
  }

  /** The rest of the text, be it half a character or the beginning of a stop string. */
  end(): string {
    const text = (this.#text ?? '').slice(this.#given);
    this.#ids = [];
    this.#text = null;
    this.#given = 0;
    const rest = this.#beforeStop(visible(text)) + shown(this.#held);
    this.#held = NOTHING;
    return rest;
  }

  /** What a special token is called, which is no part of the text; '' for any other token. */
  #specialText(token: number): string {
    return this.#decode([token]) === '' ? this.#tokenizer.decode([token]) : '';
  }

  #decoded(token: number): string {
    this.#ids.push(token);
    const text = this.#decode(this.#ids);
    const whole = wholeLength(text);
    if (text === this.#text && whole === text.length) {
      this.#ids.pop(); // a special token: what comes next follows the text before it
      return '';
    }
    this.#text = text;
    const unfinished = text.length - whole;
    const certain = text.slice(this.#given, whole);
    this.#given = Math.max(this.#given, whole);
    if (unfinished === 0) this.#keepLast(1, 0);
    else if (this.#ids.length > 2 * CONTEXT) this.#keepLast(CONTEXT, unfinished);
    return certain;
  }

  /** @param unfinished characters at the end that have not been given out */
  #keepLast(count: number, unfinished: number): void {
    this.#ids = this.#ids.slice(-count);
    this.#text = this.#decode(this.#ids);
    this.#given = Math.max(0, this.#text.length - unfinished);
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids, { skipSpecialTokens: true });
  }

  #beforeStop(marked: Marked): string {
    if (this.#stopped) return '';
    const whole = joined(this.#held, marked);
    const { text } = whole;
    let begin = text.length;
    let end = Infinity;
    for (const stop of this.#stopStrings) {
      const at = text.indexOf(stop);
      if (at < 0 || at + stop.length > end || (at + stop.length === end && at > begin)) continue;
      begin = at;
      end = at + stop.length;
    }
    if (end < Infinity) {
      this.#stopped = true;
      this.#held = NOTHING;
      return shown(cut(whole, 0, begin));
    }
    const held = text.length - this.#stopStrings.reduce((most, stop) => Math.max(most, overlap(text, stop)), 0);
    this.#held = cut(whole, held);
    return shown(cut(whole, 0, held));
  }
}

/** A text, and for each of its UTF-16 units whether it is seen ('v') or of a special token ('h'). */
interface Marked {
  readonly text: string;
  readonly marks: string;
}

const NOTHING: Marked = { text: '', marks: '' };
const visible = (text: string): Marked => ({ text, marks: 'v'.repeat(text.length) });
const hidden = (text: string): Marked => ({ text, marks: 'h'.repeat(text.length) });
const joined = (a: Marked, b: Marked): Marked => ({ text: a.text + b.text, marks: a.marks + b.marks });
const cut = ({ text, marks }: Marked, begin: number, end?: number): Marked => ({ text: text.slice(begin, end), marks: marks.slice(begin, end) });

function shown({ text, marks }: Marked): string {
  if (!marks.includes('h')) return text;
  return Array.from(marks, (mark, i) => (mark === 'v' ? text[i]! : '')).join('');
}

/** Length of a text without the U+FFFD at its end that may become a character. */
function wholeLength(text: string): number {
  return text.length - /\ufffd*$/.exec(text.slice(-UNFINISHED))![0].length;
}

/** Length of the longest end of `text` that is a beginning of `stop`, but not all of it. */
function overlap(text: string, stop: string): number {
  let length = Math.min(text.length, stop.length - 1);
  while (length > 0 && !stop.startsWith(text.slice(text.length - length))) length--;
  return length;
}
