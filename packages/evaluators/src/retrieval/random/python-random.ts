import { MersenneTwister } from './mersenne-twister';

/**
 * The numbers of Python's `random.Random(seed)`, so that what the definition of a data set draws there is drawn here. Methods bear the names and
 * take as many numbers from the generator as those of Python 3.11; `below` is its `_randbelow`.
 */
export class PythonRandom {
  readonly #twister: MersenneTwister;

  /** @param seed a whole number from 0 to 2⁵³ − 1 */
  constructor(seed: number) {
    const high = Math.floor(seed / 2 ** 32);
    this.#twister = MersenneTwister.ofKey(high === 0 ? [seed] : [seed >>> 0, high]);
  }

  /** From 0 to below 1. */
  random(): number {
    const high = this.#twister.next() >>> 5;
    const low = this.#twister.next() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** @param bits from 1 to 32 */
  bits(bits: number): number {
    return this.#twister.next() >>> (32 - bits);
  }

  /** A whole number from 0 to below `limit`. @param limit from 1 to 2³² − 1 */
  below(limit: number): number {
    const bits = 32 - Math.clz32(limit);
    let drawn = this.bits(bits);
    while (drawn >= limit) drawn = this.bits(bits);
    return drawn;
  }

  /** A whole number from `low` to `high`, both included. */
  randint(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  choice<T>(population: ArrayLike<T>): T {
    return population[this.below(population.length)]!;
  }

  /** With replacement. */
  choices<T>(population: ArrayLike<T>, count: number): T[] {
    return Array.from({ length: count }, () => population[Math.floor(this.random() * population.length)]!);
  }

  /** Without replacement. @param count at most as many as there are */
  sample<T>(population: ArrayLike<T>, count: number): T[] {
    const { length } = population;
    const room = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (length > room) return this.#sampleFew(population, count);
    const pool = Array.from(population);
    return Array.from({ length: count }, (_, i) => {
      const at = this.below(length - i);
      const chosen = pool[at]!;
      pool[at] = pool[length - i - 1]!;
      return chosen;
    });
  }

  /** In place. */
  shuffle(list: unknown[]): void {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
  }

  /** `uuid.UUID(int=random.getrandbits(128), version=4)`. */
  uuid4(): string {
    const words = [this.bits(32), this.bits(32), this.bits(32), this.bits(32)].reverse();
    const digits = words.map((word) => word.toString(16).padStart(8, '0')).join('');
    const variant = (8 + (Number.parseInt(digits[16]!, 16) & 3)).toString(16);
    return [digits.slice(0, 8), digits.slice(8, 12), `4${digits.slice(13, 16)}`, variant + digits.slice(17, 20), digits.slice(20)].join('-');
  }

  #sampleFew<T>(population: ArrayLike<T>, count: number): T[] {
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(this.below(population.length));
    return Array.from(chosen, (at) => population[at]!);
  }
}

/** The whole numbers of NumPy's `RandomState(seed).randint(low, high)`, `high` not included. @param seed from 0 to 2³² − 1 */
export class NumpyRandom {
  readonly #twister: MersenneTwister;

  constructor(seed: number) {
    this.#twister = MersenneTwister.ofSeed(seed);
  }

  randint(low: number, high: number): number {
    const range = high - low - 1;
    const mask = 2 ** (32 - Math.clz32(range)) - 1;
    for (;;) {
      const drawn = (this.#twister.next() & mask) >>> 0;
      if (drawn <= range) return low + drawn;
    }
  }
}
