import { ArgumentError, BackendError } from '@mixsga/backend';
import type { EvictionPolicy } from '../eviction/policy';
import type { Arena } from './arena';
import type { ArenaLayout } from './layer';
import type { SlotEntries } from './slot-entries';
import { SlottedLayer } from './slotted';

/** A layer that keeps what its policy leaves. */
export class EvictingLayer extends SlottedLayer {
  constructor(
    arenas: readonly Arena[],
    layout: ArenaLayout,
    readonly policy: EvictionPolicy,
    layer: number,
    entries?: readonly SlotEntries[],
  ) {
    super(arenas, layout, { name: `eviction ${policy.spec}`, policy }, layer, entries);
  }

  fork(): EvictingLayer {
    return new EvictingLayer(
      this.arenas.map((arena) => arena.fork()),
      this.layout,
      this.policy,
      this.layer,
      this.entries.map((entries) => entries.copy()),
    );
  }

  protected afterCommit(tokensSeen: number): void {
    const { tokens } = this;
    const count = tokens - this.policy.capacity;
    if (count <= 0) return;
    const { kept, starts } = this.gather(tokensSeen);
    const chosen = [...new Set(this.policy.evict(kept, count))];
    if (chosen.length !== count || chosen.some((i) => !(i in kept.positions))) {
      throw new ArgumentError(
        `eviction ${this.policy.spec}: expected ${count} different tokens of ${tokens}, got ${chosen.join(', ')}`,
      );
    }
    chosen.sort((a, b) => a - b);
    starts.forEach((start, expert) => {
      const slots = chosen.filter((i) => i >= start && i < (starts[expert + 1] ?? tokens)).map((i) => i - start);
      if (slots.length > 0) this.#evictSlots(expert, slots);
    });
  }

  /** A page that a fork holds too has to be copied first. Where there is no memory for that, the tokens go another time. */
  #evictSlots(expert: number, slots: readonly number[]): void {
    try {
      this.prepareRemove(expert, slots);
    } catch (error) {
      if (BackendError.isInstance(error)) return;
      throw error;
    }
    this.remove(expert, slots);
  }
}
