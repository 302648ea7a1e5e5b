import { SeededRandom } from '@mixsga/backend';

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Edges of numbers. */
const NUMBERS = [0n, 1n, 0x7fn, 0xffn, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

/** What readers of JSON and of pickles trip over. */
const TEXTS = [
  ...['"__proto__"', '"constructor"', '-1', '0.5', '1e999', '1000000000', '9007199254740993', '18446744073709551616', '""', '{}', '[]', 'null', 'true'],
  ...['[[[[[[[[', '{"a":', '"\\ud800"', '"\\u0000"', 'NaN', 'Infinity', '"F64"', '"../x"', '[0,0]', ',', '}', ':', '\n', '\uFEFF', '\0\0\0\0'],
  ...['cos\nsystem\n', 'R', '(', 't', 'u', 's', 'b', '\x8a\xff', 'X\xff\xff\xff\x7f', 'r\xff\xff\xff\xff', 'h\x00', '.', '\x85', 'Q', '\xff\xff\xff\xff\x0f'],
].map((text) => (text === '\uFEFF' ? Uint8Array.of(0xef, 0xbb, 0xbf) : latin1(text)));

/** What stands instead of a value of JSON. */
const VALUES: readonly unknown[] = [null, true, -1, 0, 0.5, 1e9, 2 ** 53, 1e308, '', 'x'.repeat(300), '\ud800', [], {}, [[]], [null], { a: 1 }, '__proto__'];

/** Changes files, the same way for the same seed. */
export class Mutator {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed, 0);
  }

  /** A whole number below `n`; 0 where that is below 1. */
  below(n: number): number {
    return this.#random.nextInt(Math.max(1, n));
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** One to four changes: bits, numbers and texts put in, ranges lost, repeated or moved, or cut short. */
  bytes(bytes: Uint8Array): Uint8Array {
    let result = bytes;
    for (let i = this.below(4); i >= 0; i--) result = this.#change(result);
    return result;
  }

  /** A value of JSON changed by its structure in half of the cases, else byte by byte. */
  json(bytes: Uint8Array): Uint8Array {
    if (this.below(2) === 0) return this.bytes(bytes);
    let value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    for (let i = this.below(3); i >= 0; i--) value = this.#inside(value);
    return new TextEncoder().encode(JSON.stringify(value));
  }

  #inside(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || this.below(12) === 0) return structuredClone(this.of(VALUES));
    const keys = Object.keys(value);
    if (keys.length === 0) return structuredClone(this.of(VALUES));
    const key = this.of(keys);
    const entries = Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
      if (name !== key) return [[name, inner]];
      const change = this.below(10);
      if (change === 0) return [];
      if (change === 1) return [[this.of(keys), inner]];
      return [[name, this.#inside(inner)]];
    });
    return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries);
  }

  #change(bytes: Uint8Array): Uint8Array {
    const at = this.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + this.below(this.below(4) === 0 ? bytes.length : 8));
    const splice = (from: number, to: number, ...middle: Uint8Array[]) => new Uint8Array(Buffer.concat([bytes.subarray(0, from), ...middle, bytes.subarray(to)]));
    switch (this.below(9)) {
      case 0:
        return bytes.slice(0, at);
      case 1:
        return splice(at, end);
      case 2:
        return splice(end, end, bytes.subarray(at, end));
      case 3:
        return splice(at, at, this.of(TEXTS));
      case 4: {
        const text = this.of(TEXTS);
        return splice(at, Math.min(bytes.length, at + text.length), text);
      }
      case 5: {
        const number = new DataView(new ArrayBuffer(8));
        number.setBigUint64(0, this.of(NUMBERS), this.below(2) === 0);
        const width = this.of([1, 2, 4, 8]);
        return splice(at, Math.min(bytes.length, at + width), new Uint8Array(number.buffer, 0, width));
      }
      case 6: {
        const to = this.below(bytes.length);
        return splice(to, Math.min(bytes.length, to + end - at), bytes.subarray(at, end));
      }
      default: {
        const result = bytes.slice();
        if (at < bytes.length) result[at]! ^= 1 << this.below(8);
        return result;
      }
    }
  }
}
