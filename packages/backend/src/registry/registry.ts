// Kinds of things by name: the catalog of a package, and what other packages register beside it.
import { ArgumentError } from '../errors';
import { nearestWord } from '../nearest-word';
import { expectFields, type FieldTypes, shown } from './fields';

export interface RegistryOptions<T> {
  /** The public function that registers, for messages. */
  readonly register: string;
  /** What a kind is made of. Of a function, the properties. */
  readonly fields: FieldTypes<T>;
  /** Whether a kind is an object, as by default, or a function. */
  readonly isFunction?: boolean;
  /** Names beside small letters and digits, of which the first is a letter. Default: hyphens. */
  readonly name?: { readonly pattern: RegExp; readonly form: string };
}

const NAME = { pattern: /^[a-z][a-z0-9-]*$/, form: 'letters, digits and hyphens' };

export class Registry<T extends object> {
  readonly #known: Map<string, T>;

  /** @param catalog of the package itself, which its types hold to the fields */
  constructor(catalog: Readonly<Record<string, T>>, private readonly options: RegistryOptions<T>) {
    this.#known = new Map(Object.entries(catalog));
  }

  names(): string[] {
    return [...this.#known.keys()];
  }

  all(): ReadonlyMap<string, T> {
    return this.#known;
  }

  get(name: string): T | undefined {
    return this.#known.get(name);
  }

  /**
   * Makes a kind known, or known again.
   * @param check looks at what the fields do not show
   * @throws ArgumentError when the name is none or another kind's, or the kind lacks a field
   */
  add(name: string, kind: T, check: (who: string) => void = () => undefined): void {
    const { register, fields, isFunction = false, name: { pattern, form } = NAME } = this.options;
    if (typeof name !== 'string' || !pattern.test(name)) throw new ArgumentError(`${register}: expected a name of ${form}, got ${shown(name)}`);
    if (this.#known.get(name) === kind) return;
    if (this.#known.has(name)) throw new ArgumentError(`${register}: expected a name that is free, got ${name}`);
    const who = `${register}: ${name}`;
    const isKind = isFunction ? typeof kind === 'function' : typeof kind === 'object' && kind !== null;
    if (!isKind) throw new ArgumentError(`${who}: expected ${isFunction ? 'a function' : 'an object'}, got ${shown(kind)}`);
    expectFields(who, kind, fields);
    check(who);
    this.#known.set(name, kind);
  }

  /** What to do about a name that there is not, for the end of a message. @param others names that are understood besides */
  hint(name: string, others: readonly string[] = []): string {
    const nearest = nearestWord(name, [...this.names(), ...others]);
    if (nearest) return `did you mean ${nearest}?`;
    return `a plugin may register it (--plugin, ${this.options.register})`;
  }
}
