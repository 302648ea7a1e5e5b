/** A JSON value; objects have no prototype, so that a key such as `__proto__` is a key like any other. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

const MAX_DEPTH = 64;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = [
  ['null', null],
  ['true', true],
  ['false', false],
] as const;

/**
 * Parses JSON as RFC 8259 has it, and refuses what `JSON.parse` hides: a key given twice, and a whole number
 * that a double cannot hold exactly (above 2^53 - 1).
 * @throws SyntaxError with the position, counted in characters
 */
export function parseStrictJson(text: string): JsonValue {
  let at = 0;

  const fail = (expected: string): never => {
    const got = at < text.length ? JSON.stringify(text.slice(at, at + 12)) : 'the end';
    throw new SyntaxError(`JSON at character ${at}: expected ${expected}, got ${got}`);
  };
  const skipSpace = (): void => {
    while (at < text.length && ' \t\n\r'.includes(text[at]!)) at++;
  };
  const take = (token: string): boolean => {
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };

  const string = (): string => JSON.parse(match(STRING) ?? fail('a string')) as string;

  const number = (): number => {
    const start = at;
    const literal = match(NUMBER) ?? fail('a value');
    const result = Number(literal);
    if (!/[.eE]/.test(literal) && !Number.isSafeInteger(result)) {
      at = start;
      fail('a whole number of at most 2^53 - 1');
    }
    return result;
  };

  const array = (depth: number): JsonValue[] => {
    const items: JsonValue[] = [];
    skipSpace();
    if (take(']')) return items;
    do items.push(value(depth));
    while (take(','));
    return take(']') ? items : fail("',' or ']'");
  };

  const object = (depth: number): JsonValue => {
    const result = Object.create(null) as Record<string, JsonValue>;
    skipSpace();
    if (take('}')) return result;
    do {
      skipSpace();
      const start = at;
      const key = string();
      if (Object.hasOwn(result, key)) {
        at = start;
        fail('each key once');
      }
      skipSpace();
      if (!take(':')) fail("':'");
      result[key] = value(depth);
    } while (take(','));
    return take('}') ? result : fail("',' or '}'");
  };

  const value = (depth: number): JsonValue => {
    skipSpace();
    if (depth > MAX_DEPTH) fail(`at most ${MAX_DEPTH} levels`);
    let result: JsonValue;
    const word = WORDS.find(([w]) => take(w));
    if (word) result = word[1];
    else if (take('{')) result = object(depth + 1);
    else if (take('[')) result = array(depth + 1);
    else if (text[at] === '"') result = string();
    else result = number();
    skipSpace();
    return result;
  };

  const result = value(0);
  return at === text.length ? result : fail('the end');
}
