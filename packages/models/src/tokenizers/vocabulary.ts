import type { Fail } from './schema';

/** Tokens and ids of a model, added tokens left out. */
export class Vocabulary {
  readonly #ids: ReadonlyMap<string, number>;

  constructor(entries: Iterable<readonly [string, number]>) {
    this.#ids = new Map(entries);
  }

  get size(): number {
    return this.#ids.size;
  }

  id(token: string): number | undefined {
    return this.#ids.get(token);
  }

  entries(): IterableIterator<[string, number]> {
    return this.#ids.entries();
  }

  /** @throws FileError when it has no such token */
  expect(token: string, field: string, fail: Fail): number {
    return this.#ids.get(token) ?? fail(field, `expected a token of the vocabulary, got ${JSON.stringify(token)}`);
  }

  /** The ids of a text's UTF-8 bytes, each a token such as `<0x0A>`; null where one of them is none. */
  bytes(tokens: readonly string[]): number[] | null {
    const ids = tokens.map((token) => this.#ids.get(token));
    return ids.includes(undefined) ? null : (ids as number[]);
  }
}
