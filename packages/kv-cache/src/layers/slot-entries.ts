/** Bytes by which a layer of a cache with a limit knows a token: its position and its score. */
export const ENTRY_BYTES = 8;

/** Entries by which the buffers of an arena grow and shrink. */
const STEP = 32;

/** What a layer whose tokens are in no order knows of those of one arena, by slot. */
export class SlotEntries {
  positions = new Int32Array(0);
  scores = new Float32Array(0);
  /** Attention seen since the cache last changed, of `observedTokens` tokens; it becomes part of the scores with the commit. */
  observed = new Float32Array(0);
  observedTokens = 0;

  get allocatedBytes(): number {
    return this.positions.byteLength + this.scores.byteLength + this.observed.byteLength;
  }

  /** Makes room for `tokens` entries, and gives back room for twice as many. */
  resize(tokens: number): void {
    const capacity = this.positions.length;
    if (tokens <= capacity && (capacity <= 2 * tokens || capacity <= STEP)) return;
    const length = Math.ceil((tokens + (tokens > capacity ? tokens >> 3 : 0)) / STEP) * STEP;
    this.positions = resized(Int32Array, this.positions, length);
    this.scores = resized(Float32Array, this.scores, length);
    if (this.observed.length > 0) this.observed = resized(Float32Array, this.observed, length);
  }

  /** Slot `to` becomes what slot `slot` of some entries is. */
  put(to: number, from: SlotEntries, slot: number): void {
    this.positions[to] = from.positions[slot]!;
    this.scores[to] = from.scores[slot]!;
  }

  copy(): SlotEntries {
    const copy = new SlotEntries();
    copy.positions = this.positions.slice();
    copy.scores = this.scores.slice();
    return copy;
  }
}

function resized<A extends Int32Array | Float32Array>(type: new (length: number) => A, array: A, length: number): A {
  const copy = new type(length);
  copy.set(array.subarray(0, length));
  return copy;
}
