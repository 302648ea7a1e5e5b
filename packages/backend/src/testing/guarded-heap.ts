import * as tf from '@tensorflow/tfjs-core';

// Bytes of guard on each side of a block; a multiple of the allocator's alignment and of a cache line.
const GUARD = 64;
// As float32 a NaN and as int32 −1: memory that is read without having been written shows up in results.
const PATTERN = 0xff;

interface Heap {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(address: number): void;
}

interface Block {
  readonly bytes: number;
}

const watched = new WeakMap<Heap, GuardedHeap>();

/**
 * Surrounds every block that the active wasm backend allocates while `f` runs with guard bytes, fills new blocks with
 * NaN, and says what was written outside of a block.
 *
 * @returns one line for each damaged block, empty when all is well; null on a backend whose memory can't be watched
 */
export async function withGuardedHeap(f: () => Promise<void>): Promise<string[] | null> {
  const heap = (tf.backend() as Partial<{ wasm: Heap }>).wasm;
  if (!heap) {
    await f();
    return null;
  }
  let guarded = watched.get(heap);
  if (!guarded) watched.set(heap, (guarded = new GuardedHeap(heap)));
  guarded.watching = true;
  try {
    await f();
  } finally {
    guarded.watching = false;
  }
  return guarded.takeDamage();
}

/** Takes the place of a wasm module's allocator. It stays there, since guarded blocks may be freed at any time. */
class GuardedHeap {
  watching = false;
  readonly #blocks = new Map<number, Block>();
  #damage: string[] = [];

  constructor(private readonly heap: Heap) {
    const malloc = heap._malloc.bind(heap);
    const free = heap._free.bind(heap);
    heap._malloc = (bytes) => {
      const start = this.watching ? malloc(bytes + 2 * GUARD) : 0;
      if (start === 0) return malloc(bytes);
      heap.HEAPU8.fill(PATTERN, start, start + bytes + 2 * GUARD);
      this.#blocks.set(start + GUARD, { bytes });
      return start + GUARD;
    };
    heap._free = (address) => {
      const block = this.#blocks.get(address);
      if (!block) return free(address);
      this.#check(address, block);
      this.#blocks.delete(address);
      free(address - GUARD);
    };
  }

  /** What was damaged since the last call, blocks still in use included. */
  takeDamage(): string[] {
    for (const [address, block] of this.#blocks) this.#check(address, block);
    const damage = this.#damage;
    this.#damage = [];
    return damage;
  }

  #check(address: number, { bytes }: Block): void {
    const memory = this.heap.HEAPU8;
    for (const [side, start] of [['before', address - GUARD], ['after', address + bytes]] as const) {
      const guard = memory.subarray(start, start + GUARD);
      const at = guard.findIndex((byte) => byte !== PATTERN);
      if (at < 0) continue;
      const distance = side === 'after' ? at : at - GUARD;
      this.#damage.push(`wrote ${side} a block of ${bytes} bytes, at its byte ${side === 'after' ? bytes + distance : distance}`);
      guard.fill(PATTERN);
    }
  }
}
