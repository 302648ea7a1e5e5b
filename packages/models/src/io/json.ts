/** A JSON value; objects have no prototype, so that a key such as `__proto__` is a key like any other. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** A few megabytes of JSON: far more than a config.json, and little enough to parse at once. */
export const MAX_CONFIG_BYTES = 4 * 2 ** 20;
const MAX_DEPTH = 64;
const MAX_NUMBER = 128;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const NUMBER_BYTES = new Set(Array.from('0123456789+-.eE', (character) => character.charCodeAt(0)));
const SPACES = new Set(Array.from(' \t\n\r', (character) => character.charCodeAt(0)));
const WORDS = [
  ['null', null],
  ['true', true],
  ['false', false],
] as const;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses JSON as RFC 8259 has it, and refuses what `JSON.parse` hides: a key given twice, and a whole number
 * that a double cannot hold exactly (above 2^53 - 1).
 * @throws SyntaxError with the position, counted in bytes of UTF-8
 */
export function parseStrictJson(text: string | Uint8Array): JsonValue {
  const reader = new JsonReader(typeof text === 'string' ? new TextEncoder().encode(text) : text);
  const value = reader.value();
  reader.end();
  return value;
}

/**
 * Reads JSON from its bytes part by part, for files that nobody vouches for: what a caller does not keep takes no
 * memory, and what it keeps is bounded by the limits that it gives. As strict as {@link parseStrictJson}.
 */
export class JsonReader {
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * Reads an object whose values `member` reads, each by one call.
   * @param limit how many keys at most, each of `keyBytes` at most
   */
  object(member: (key: string) => void, limit = Infinity, keyBytes = Infinity): void {
    this.#expect('{', 'an object');
    this.#enter();
    const keys = new Set<string>();
    if (!this.#take('}')) {
      do {
        this.#skipSpace();
        const start = this.#at;
        if (keys.size === limit) this.fail(`at most ${limit} keys`);
        const key = this.#string(keyBytes);
        if (keys.has(key)) {
          this.#at = start;
          this.fail('each key once');
        }
        keys.add(key);
        this.#expect(':', "':'");
        member(key);
      } while (this.#take(','));
      this.#expect('}', "',' or '}'");
    }
    this.#depth--;
  }

  /**
   * Any value.
   * @param limit how many values it may be made of, with strings and keys of `stringBytes` at most
   */
  value(limit = Infinity, stringBytes = Infinity): JsonValue {
    let left = limit;
    const next = (): JsonValue => {
      if (left-- <= 0) this.fail(`at most ${limit} values`);
      const first = this.#peek();
      if (first === '{') {
        const result = Object.create(null) as Record<string, JsonValue>;
        this.object((key) => void (result[key] = next()), limit, stringBytes);
        return result;
      }
      if (first === '[') return this.#array(next);
      if (first === '"') return this.#string(stringBytes);
      const word = WORDS.find(([w]) => this.#take(w));
      return word ? word[1] : this.#number();
    };
    return next();
  }

  /** Whether an object comes next. */
  get atObject(): boolean {
    return this.#peek() === '{';
  }

  /** Expects that nothing but space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#bytes.length) this.fail('the end');
  }

  fail(expected: string): never {
    const next = this.#bytes.subarray(this.#at, this.#at + 12);
    const got = next.length > 0 ? JSON.stringify(new TextDecoder().decode(next)) : 'the end';
    throw new SyntaxError(`JSON at byte ${this.#at}: expected ${expected}, got ${got}`);
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} levels`);
  }

  #skipSpace(): void {
    while (SPACES.has(this.#bytes[this.#at]!)) this.#at++;
  }

  #peek(): string {
    this.#skipSpace();
    return this.#at < this.#bytes.length ? String.fromCharCode(this.#bytes[this.#at]!) : '';
  }

  #take(token: string): boolean {
    this.#skipSpace();
    for (let i = 0; i < token.length; i++) if (this.#bytes[this.#at + i] !== token.charCodeAt(i)) return false;
    this.#at += token.length;
    return true;
  }

  #expect(token: string, expected: string): void {
    if (!this.#take(token)) this.fail(expected);
  }

  #array(item: () => JsonValue): JsonValue[] {
    this.#take('[');
    this.#enter();
    const items: JsonValue[] = [];
    if (!this.#take(']')) {
      do items.push(item());
      while (this.#take(','));
      this.#expect(']', "',' or ']'");
    }
    this.#depth--;
    return items;
  }

  #string(maxBytes: number): string {
    this.#skipSpace();
    const bytes = this.#bytes;
    if (bytes[this.#at] !== QUOTE) this.fail('a string');
    let end = this.#at + 1;
    let escaped = false;
    while (end < bytes.length && bytes[end] !== QUOTE && bytes[end]! >= 0x20) {
      if (bytes[end] === BACKSLASH) {
        escaped = true;
        end++;
      }
      end++;
    }
    if (bytes[end] !== QUOTE) this.fail('a string');
    if (end - this.#at - 1 > maxBytes) this.fail(`a string of at most ${maxBytes} bytes`);
    let text: string;
    try {
      text = this.#decoder.decode(bytes.subarray(this.#at + 1, end));
    } catch {
      this.fail('UTF-8 text');
    }
    if (escaped) {
      try {
        text = JSON.parse(`"${text}"`) as string;
      } catch {
        this.fail('a string');
      }
    }
    this.#at = end + 1;
    return text;
  }

  #number(): number {
    const start = this.#at;
    let end = start;
    while (end - start <= MAX_NUMBER && NUMBER_BYTES.has(this.#bytes[end]!)) end++;
    const literal = String.fromCharCode(...this.#bytes.subarray(start, end));
    if (!NUMBER.test(literal)) this.fail('a value');
    const result = Number(literal);
    if (!/[.eE]/.test(literal) && !Number.isSafeInteger(result)) this.fail('a whole number of at most 2^53 - 1');
    this.#at = end;
    return result;
  }
}
