import { ExpertIndex } from '../expert-index';
import type { Arena } from './arena';
import { CacheLayer, type Planned } from './layer';

/**
 * A layer that keeps every token. Arenas are in token order, so that the packed expert index alone tells where each
 * token is: the nth token of expert e is in slot n of arena e.
 */
export class KeepAllLayer extends CacheLayer {
  constructor(
    arenas: readonly Arena[],
    groupSizes: readonly number[],
    readonly index = new ExpertIndex(arenas.length),
  ) {
    super(arenas, groupSizes);
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
    const left = this.arenas.map(({ tokens }) => tokens);
    for (let token = this.index.length - 1; token >= position; token--) left[this.index.get(token)]!--;
    this.index.truncate(position);
    this.arenas.forEach((arena, expert) => arena.truncate(left[expert]!));
  }

  fork(): KeepAllLayer {
    return new KeepAllLayer(
      this.arenas.map((arena) => arena.fork()),
      this.groupSizes,
      this.index.copy(),
    );
  }
}
