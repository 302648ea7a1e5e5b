import { FileError, MixsgaError, nearestWord } from '@mixsga/backend';
import type { z } from 'zod';
import { readFileText } from '../io/fs';
import { MAX_CONFIG_BYTES, parseStrictJson, type JsonValue } from '../io/json';

/**
 * Reads a JSON file; a key given twice is refused.
 * @throws FileError when it is missing, not JSON or larger than a configuration
 */
export async function readJsonFile(path: string): Promise<JsonValue> {
  try {
    return parseStrictJson(await readFileText(path, MAX_CONFIG_BYTES));
  } catch (error) {
    if (error instanceof SyntaxError) throw new FileError(path, error.message, { cause: error });
    throw error;
  }
}

/**
 * Checks a parsed configuration with a schema.
 * @param where the file's path, for error messages
 * @throws FileError naming the field, what was expected and what was got; for an unknown key the nearest known one
 */
export function validateConfig<S extends z.ZodObject>(schema: S, json: unknown, where: string): z.output<S> {
  const result = schema.safeParse(json, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys[0]!;
    const hint = suggestion(unknown, knownKeys(schema, issue.path));
    throw new FileError(where, `unknown key ${[...issue.path.map(String), unknown].join('.')}; ${hint}`);
  }
  // zod's own words are "Invalid input: expected number, received string".
  const expected = issue.message.replace(/^.*?: (?=expected)/, '').replace(/, received .*$/, '');
  const hint: unknown = issue.code === 'custom' ? issue.params?.hint : undefined;
  throw new FileError(where, `${field || 'configuration'}: ${expected}, got ${describe(issue.input)}${typeof hint === 'string' ? `; ${hint}` : ''}`);
}

/** Runs a check of values that came from a file; its error becomes one of that file. */
export function checkField(where: string, field: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!MixsgaError.isInstance(error)) throw error;
    throw new FileError(where, `${field}: ${error.message}`, { cause: error });
  }
}

/** "did you mean x?", or when no candidate is near, the list of them all. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const nearest = nearestWord(word, candidates);
  return nearest ? `did you mean ${nearest}?` : `expected one of ${candidates.join(', ')}`;
}

function knownKeys(schema: z.ZodObject, path: readonly PropertyKey[]): string[] {
  let inner: unknown = schema;
  for (const key of path) inner = unwrap((inner as z.ZodObject).shape[key as string]);
  return Object.keys((inner as z.ZodObject).shape);
}

function unwrap(schema: unknown): unknown {
  let inner = schema as { unwrap?: () => unknown };
  while (typeof inner.unwrap === 'function') inner = inner.unwrap() as typeof inner;
  return inner;
}

/** A value of a file, cut to a line. */
export function describe(value: unknown): string {
  const text = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
