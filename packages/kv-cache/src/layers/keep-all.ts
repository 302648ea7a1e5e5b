import { ExpertIndex } from '../expert-index';
import type { Arena } from './arena';
import { CacheLayer, type Planned } from './layer';

/**
 * A layer that keeps every token. Arenas are in token order, so that the packed expert index alone tells where each
 * token is: the nth token of expert e is in slot n of arena e.
 */
export class KeepAllLayer extends CacheLayer {
  /** Of the first `end` tokens, how many each arena has. */
  readonly #before: { end: number; readonly tokens: number[] };

  constructor(
    arenas: readonly Arena[],
    readonly index = new ExpertIndex(arenas.length),
  ) {
    super(arenas, arenas.length);
    this.#before = { end: 0, tokens: arenas.map(() => 0) };
  }

  get placeBytes() {
    return { used: this.index.bytes, allocated: this.index.allocatedBytes };
  }

  commit(expert: number): void {
    this.index.append(expert);
    this.arenas[expert]!.tokens++;
    this.viewed = false;
  }

  commitRows({ experts }: Planned): void {
    for (const expert of experts) this.commit(expert);
    this.settle();
  }

  expertOf(position: number): number {
    return this.index.get(position);
  }

  prepareTruncate(): void {}

  truncate(position: number): void {
    if (position < this.#before.end) this.countBefore(position);
    const left = this.arenas.map(({ tokens }) => tokens);
    for (let token = this.index.length - 1; token >= position; token--) left[this.index.get(token)]!--;
    this.index.truncate(position);
    this.arenas.forEach((arena, expert) => arena.truncate(left[expert]!));
  }

  fork(): KeepAllLayer {
    return new KeepAllLayer(this.arenas.map((arena) => arena.fork()), this.index.copy());
  }

  /** Goes on from where the last call ended, which in decoding is a token earlier. */
  protected countBefore(position: number): readonly number[] {
    const { tokens } = this.#before;
    for (; this.#before.end < position; this.#before.end++) tokens[this.index.get(this.#before.end)]!++;
    for (; this.#before.end > position; this.#before.end--) tokens[this.index.get(this.#before.end - 1)]!--;
    return [...tokens];
  }
}
