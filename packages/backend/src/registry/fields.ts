import { ArgumentError } from '../errors';

/**
 * What the fields of an interface hold, by name; a `?` behind the name where a field may be left out or null. A list of texts stands for one of them, an
 * object for fields of its own, and `'object'` for any. A name that is missing or too many here does not compile.
 */
export type FieldTypes<T> = {
  readonly [Name in keyof T & string as IsOptional<T[Name]> extends true ? `${Name}?` : Name]-?: TypeOf<NonNullable<T[Name]>>;
};

type IsOptional<Value> = undefined extends Value ? true : null extends Value ? true : false;

/** In brackets, so that a union stays one. */
type TypeOf<Value> = [Value] extends [(...args: never[]) => unknown] ? 'function'
  : [Value] extends [string] ? 'string' | readonly Value[]
    : [Value] extends [number] ? 'number'
      : [Value] extends [boolean] ? 'boolean'
        : [Value] extends [readonly unknown[]] ? 'list'
          : 'object' | FieldTypes<Value>;

/**
 * Checks what comes from a module that no compiler may have seen.
 * @param who the function that was called, and for what
 * @throws ArgumentError naming the first field that is missing or of another type
 */
export function expectFields<T>(who: string, value: T, fields: FieldTypes<T>): void {
  checkFields(who, '', value, fields as Readonly<Record<string, unknown>>);
}

function checkFields(who: string, path: string, value: unknown, fields: Readonly<Record<string, unknown>>): void {
  for (const [key, type] of Object.entries(fields)) {
    const name = key.replace(/\?$/, '');
    const field = (value as Readonly<Record<string, unknown>>)[name];
    if (name !== key && (field === undefined || field === null)) continue;
    const at = `${path}${name}`;
    const expected = mismatch(field, type);
    if (expected !== null) throw new ArgumentError(`${who}: expected ${at} to be ${expected}, got ${shown(field)}`);
    if (typeof type === 'object' && !Array.isArray(type)) checkFields(who, `${at}.`, field, type as Readonly<Record<string, unknown>>);
  }
}

/** What was expected instead of a value; null where it fits. */
function mismatch(value: unknown, type: unknown): string | null {
  if (Array.isArray(type)) return type.includes(value) ? null : `one of ${type.join(', ')}`;
  if (type === 'list') return Array.isArray(value) ? null : 'a list';
  if (type === 'object' || typeof type === 'object') return typeof value === 'object' && value !== null ? null : 'an object';
  return typeof value === type && !Number.isNaN(value) ? null : `a ${String(type)}`;
}

/** A value in an error, cut to a line. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number') return String(value);
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}
