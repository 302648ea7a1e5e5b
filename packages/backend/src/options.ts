import { ArgumentError } from './errors';
import { nearestWord } from './nearest-word';

/**
 * The names of a function's options; of an option that is an object of options itself, or a list of such, their names. A name that is missing or too many
 * here does not compile.
 */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: true | Nested<NonNullable<Options[Name]>> };

type Nested<Value> = Value extends readonly (infer Element)[] ? Nested<Element>
  : Value extends (...args: never[]) => unknown ? never
    : Value extends object ? OptionNames<Value> : never;

/**
 * To be called once with the options that a function of the public API was given: one that nobody reads is a slip of the pen, or of
 * another library, and would change nothing without a word.
 * @param who the function
 * @throws ArgumentError that suggests the nearest name
 */
export function expectOptions<Options extends object>(who: string, options: Options | undefined, names: OptionNames<Options>): void {
  for (const name in options) {
    const known: unknown = Object.hasOwn(names, name) ? names[name] : null;
    if (known === null) throw new ArgumentError(`${who}: there is no option ${JSON.stringify(name)}; ${suggestion(name, Object.keys(names))}`);
    const value: unknown = options[name];
    if (known === true || typeof value !== 'object') continue;
    for (const each of Array.isArray(value) ? (value as unknown[]) : [value]) expectOptions(`${who}: ${name}`, each ?? undefined, known as OptionNames<object>);
  }
}

function suggestion(name: string, known: readonly string[]): string {
  const nearest = nearestWord(name, known);
  return nearest ? `did you mean ${nearest}?` : `expected ${known.join(', ')}`;
}
