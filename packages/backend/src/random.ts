import { ArgumentError } from './errors';

/**
 * Seeded pseudo-random numbers: xoshiro128** (Blackman and Vigna, 2018), its state filled by splitmix32.
 * The same seed and stream give the same numbers on every machine; other streams of the same seed are
 * independent of each other, so that adding a consumer never shifts the draws of another.
 */
export class SeededRandom {
  #s = new Uint32Array(4);
  #spareNormal: number | null = null;

  /**
   * @param seed integer
   * @param stream integers naming an independent stream of that seed, for example (layer, parameter)
   * @throws ArgumentError when one of them is not a safe integer
   */
  constructor(seed: number, ...stream: number[]) {
    let h = 0;
    for (const n of [seed, ...stream]) {
      if (!Number.isSafeInteger(n)) {
        throw new ArgumentError(`SeededRandom: expected integers as seed and stream, got ${String(n)}; pass whole numbers`);
      }
      h = splitmix32(h ^ (n >>> 0));
      h = splitmix32(h ^ (Math.floor(n / 2 ** 32) >>> 0));
    }
    for (let i = 0; i < 4; i++) this.#s[i] = h = splitmix32(h);
  }

  /** A uniform number in [0, 1), a multiple of 2^-32. */
  next(): number {
    return this.#nextUint32() / 2 ** 32;
  }

  /** A uniform integer in [0, n), for n from 1 to 2^32; no modulo bias. */
  nextInt(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new ArgumentError(`SeededRandom.nextInt: expected a whole number from 1 to 2^32, got ${String(n)}`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n);
    for (;;) {
      const draw = this.#nextUint32();
      if (draw < limit) return draw % n;
    }
  }

  /** A draw of the standard normal distribution (Box-Muller). */
  normal(): number {
    if (this.#spareNormal !== null) {
      const spare = this.#spareNormal;
      this.#spareNormal = null;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    const angle = 2 * Math.PI * this.next();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** The state as plain numbers, safe in JSON; see {@link SeededRandom.fromState}. */
  state(): number[] {
    return this.#spareNormal === null ? [...this.#s] : [...this.#s, this.#spareNormal];
  }

  /**
   * A generator that goes on where {@link SeededRandom.state} was taken.
   * @throws ArgumentError when the state is not one that `state()` gives
   */
  static fromState(state: readonly number[]): SeededRandom {
    const words = state.slice(0, 4);
    const valid =
      (state.length === 4 || (state.length === 5 && Number.isFinite(state[4]))) &&
      words.every((w) => Number.isInteger(w) && w >= 0 && w < 2 ** 32) &&
      words.some((w) => w !== 0);
    if (!valid) {
      throw new ArgumentError(`SeededRandom.fromState: expected the result of state(), got [${state.join(', ')}]`);
    }
    const random = new SeededRandom(0);
    random.#s = Uint32Array.from(words);
    random.#spareNormal = state[4] ?? null;
    return random;
  }

  #nextUint32(): number {
    const s = this.#s;
    const s1 = s[1]!;
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    s[2]! ^= s[0]!;
    s[3]! ^= s1;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= s1 << 9;
    s[3] = rotateLeft(s[3]!, 11);
    return result;
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

function splitmix32(x: number): number {
  let z = (x + 0x9e3779b9) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
