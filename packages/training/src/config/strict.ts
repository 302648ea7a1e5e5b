import { ArgumentError, nearestWord } from '@mixsga/backend';
import { z } from 'zod';

/** Fields that configurations had once, and what to do without them. */
const REMOVED: Readonly<Record<string, string>> = { annealRatios: 'since it lost every time (docs/log.md); leave it out' };

/**
 * Parses a configuration with a strict zod schema.
 *
 * @param source what to call it in errors: the file or the preset.
 * @throws ArgumentError with one line that names the source, the field, and the nearest key for an unknown one.
 */
export function parseStrict<S extends z.ZodType>(schema: S, value: unknown, source: string): z.output<S> {
  let suggestion = '';
  const result = schema.safeParse(value, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      const known = knownKeys(issue.inst);
      const nearest = nearestWord(issue.keys[0]!, known);
      suggestion ||= nearest ? `; did you mean ${nearest}?` : `; known keys: ${known.join(', ')}`;
      return undefined;
    },
    reportInput: true,
  });
  if (result.success) return result.data;
  // An unknown key first: a missing one is often the same key, misspelt.
  const issue = result.error.issues.find(({ code }) => code === 'unrecognized_keys') ?? result.error.issues[0]!;
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const key = [...path, issue.keys[0]!].join('.');
    const removed = Object.hasOwn(REMOVED, issue.keys[0]!) ? REMOVED[issue.keys[0]!] : null;
    throw new ArgumentError(`${source}: ${removed ? `${key} was removed, ${removed}` : `unknown key ${key}${suggestion}`}`);
  }
  const got = issue.code === 'custom' ? '' : `, got ${describe(issue.input)}`;
  const expected = issue.message.replace(/^(Invalid [^:]*|Too small|Too big): /, '').replace(/, received .*$/, '');
  throw new ArgumentError(`${source}: ${path.join('.') || 'configuration'}: ${expected}${got}`);
}

/**
 * Applies `--set key=value` settings to a plain object and returns a changed copy. Keys are dotted paths, whose
 * numbers index arrays; a value is read as JSON where it is JSON and as text otherwise.
 */
export function applySettings(config: unknown, settings: readonly string[]): unknown {
  const result: unknown = structuredClone(config);
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    if (equals < 1) throw new ArgumentError(`--set: expected key=value, got ${JSON.stringify(setting)}`);
    setDotted(result, setting.slice(0, equals), jsonOrText(setting.slice(equals + 1)), '--set');
  }
  return result;
}

/**
 * Sets a value in a plain object by its dotted key.
 * @param source what to call the setting in errors
 * @throws ArgumentError when a part of the key is neither an object nor a list
 */
export function setDotted(config: unknown, key: string, value: unknown, source: string): void {
  const path = key.split('.');
  const last = path.pop()!;
  let target = config as Record<string, unknown>;
  for (const part of path) {
    if (!Object.hasOwn(target, part)) setOwn(target, part, {});
    const next = target[part];
    if (typeof next !== 'object' || next === null) throw new ArgumentError(`${source}: ${part} in ${key} is not an object or a list`);
    target = next as Record<string, unknown>;
  }
  setOwn(target, last, value);
}

/** A name of a catalog that plugins can add to, which is why its names are asked for only when a value is checked. */
export function oneOf(names: () => readonly string[]) {
  return z.string().refine((name) => names().includes(name), { error: ({ input }) => `expected one of ${names().join(', ')}, got ${JSON.stringify(input)}; a plugin may register it (plugins, or --plugin)` });
}

function knownKeys(schema: unknown): string[] {
  const shape = (schema as { _zod?: { def?: { shape?: object } } } | undefined)?._zod?.def?.shape;
  return shape ? Object.keys(shape) : [];
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Assignment that `__proto__` cannot turn into a change of the prototype. */
function setOwn(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}
