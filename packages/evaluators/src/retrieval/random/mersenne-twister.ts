const SIZE = 624;
const OFFSET = 397;
const UPPER = 0x80000000;
const LOWER = 0x7fffffff;

/** MT19937 (Matsumoto and Nishimura, 1998): the generator of Python's `random` and of NumPy's `RandomState`. */
export class MersenneTwister {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /** As C's `init_genrand`, which is how NumPy takes a seed. @param seed from 0 to 2³² − 1 */
  static ofSeed(seed: number): MersenneTwister {
    const twister = new MersenneTwister();
    const state = twister.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
    return twister;
  }

  /** As C's `init_by_array`, which is how Python takes a seed: its words of 32 bits, the lowest first. */
  static ofKey(key: readonly number[]): MersenneTwister {
    const twister = MersenneTwister.ofSeed(19650218);
    const state = twister.#state;
    let i = 1;
    const forward = () => {
      i++;
      if (i < SIZE) return;
      state[0] = state[SIZE - 1]!;
      i = 1;
    };
    for (let k = Math.max(SIZE, key.length), j = 0; k > 0; k--, j = (j + 1) % key.length) {
      state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1664525)) + key[j]! + j;
      forward();
    }
    for (let k = SIZE - 1; k > 0; k--) {
      state[i] = (state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), 1566083941)) - i;
      forward();
    }
    state[0] = UPPER;
    return twister;
  }

  /** A whole number of 32 bits, from 0 to 2³² − 1. */
  next(): number {
    if (this.#next === SIZE) this.#refill();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & UPPER) | (state[(i + 1) % SIZE]! & LOWER);
      state[i] = state[(i + OFFSET) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
