/** A max-heap of (pair key, count): the greatest count first, and among equal counts the smallest key. */
export class PairHeap {
  readonly #keys: number[] = [];
  readonly #counts: number[] = [];

  push(key: number, count: number): void {
    let i = this.#keys.push(key) - 1;
    this.#counts.push(count);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#before(i, parent)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  pop(): { key: number; count: number } | null {
    const last = this.#keys.length - 1;
    if (last < 0) return null;
    this.#swap(0, last);
    const top = { key: this.#keys.pop()!, count: this.#counts.pop()! };
    for (let i = 0; ; ) {
      let first = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < last && this.#before(child, first)) first = child;
      }
      if (first === i) return top;
      this.#swap(i, first);
      i = first;
    }
  }

  #before(i: number, j: number): boolean {
    const difference = this.#counts[i]! - this.#counts[j]!;
    return difference > 0 || (difference === 0 && this.#keys[i]! < this.#keys[j]!);
  }

  #swap(i: number, j: number): void {
    [this.#keys[i], this.#keys[j]] = [this.#keys[j]!, this.#keys[i]!];
    [this.#counts[i], this.#counts[j]] = [this.#counts[j]!, this.#counts[i]!];
  }
}
