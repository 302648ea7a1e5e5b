import { ArgumentError } from '@mixsga/backend';

/** Bits that name one of `experts` experts: ⌈log2 experts⌉. */
export function expertBits(experts: number): number {
  return 32 - Math.clz32(experts - 1);
}

/**
 * Which expert stores each token of one layer's cache, packed in ⌈log2 E⌉ bits a token (paper section 3.3): 2 bits
 * for three experts, none for a single one. The buffer grows by an eighth.
 */
export class ExpertIndex {
  readonly experts: number;
  /** ⌈log2 experts⌉ */
  readonly bitsPerToken: number;
  #length = 0;
  // One byte more than the entries take, so that an entry can always be read as part of two bytes.
  #packed = new Uint8Array(1);

  /**
   * @param experts 1 to 256
   * @throws ArgumentError when it is not a whole number in that range
   */
  constructor(experts: number) {
    if (!Number.isInteger(experts) || experts < 1 || experts > 256) {
      throw new ArgumentError(`ExpertIndex: expected 1 to 256 experts, got ${experts}`);
    }
    this.experts = experts;
    this.bitsPerToken = expertBits(experts);
  }

  /** Number of tokens. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that the entries take. */
  get bytes(): number {
    return bytesFor(this.#length * this.bitsPerToken);
  }

  /** Bytes of the buffer underneath. */
  get allocatedBytes(): number {
    return this.#packed.byteLength;
  }

  /**
   * The expert of a token.
   * @throws ArgumentError when there is no such token
   */
  get(token: number): number {
    this.#expectToken(token);
    const bit = token * this.bitsPerToken;
    return (this.#twoBytes(bit >> 3) >> (bit & 7)) & ((1 << this.bitsPerToken) - 1);
  }

  /**
   * Adds a token at the end.
   * @throws ArgumentError when there is no such expert
   */
  append(expert: number): void {
    this.#expectExpert(expert);
    const needed = bytesFor((this.#length + 1) * this.bitsPerToken) + 1;
    if (needed > this.#packed.length) {
      const larger = new Uint8Array(needed + Math.max(8, needed >> 3));
      larger.set(this.#packed);
      this.#packed = larger;
    }
    this.#write(this.#length++, expert);
  }

  /**
   * Drops the tokens from `length` on.
   * @throws ArgumentError when there are not as many
   */
  truncate(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new ArgumentError(`ExpertIndex.truncate: expected 0 to ${this.#length} tokens, got ${length}`);
    }
    this.#length = length;
  }

  /** The entries as they are stored, from the lowest bits of the first byte on: a view of {@link bytes} bytes. */
  get packed(): Uint8Array {
    return this.#packed.subarray(0, this.bytes);
  }

  /**
   * The index of which {@link packed} is a copy.
   * @throws ArgumentError when the bytes are too few for the tokens, or an entry is no expert
   */
  static fromPacked(experts: number, length: number, packed: Uint8Array): ExpertIndex {
    const index = new ExpertIndex(experts);
    const bytes = bytesFor(length * index.bitsPerToken);
    if (packed.length < bytes) throw new ArgumentError(`ExpertIndex: expected ${bytes} bytes for ${length} tokens, got ${packed.length}`);
    index.#packed = new Uint8Array(bytes + 1);
    index.#packed.set(packed.subarray(0, bytes));
    index.#length = length;
    for (let token = 0; token < length; token++) index.#expectExpert(index.get(token));
    return index;
  }

  copy(): ExpertIndex {
    const copy = new ExpertIndex(this.experts);
    copy.#packed = this.#packed.slice();
    copy.#length = this.#length;
    return copy;
  }

  #write(token: number, expert: number): void {
    const bit = token * this.bitsPerToken;
    const byte = bit >> 3;
    const shift = bit & 7;
    const mask = ((1 << this.bitsPerToken) - 1) << shift;
    const both = (this.#twoBytes(byte) & ~mask) | (expert << shift);
    this.#packed[byte] = both;
    this.#packed[byte + 1] = both >> 8;
  }

  #twoBytes(byte: number): number {
    return this.#packed[byte]! | (this.#packed[byte + 1]! << 8);
  }

  #expectToken(token: number): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.#length) {
      throw new ArgumentError(`ExpertIndex: expected a token below ${this.#length}, got ${token}`);
    }
  }

  #expectExpert(expert: number): void {
    if (!Number.isInteger(expert) || expert < 0 || expert >= this.experts) {
      throw new ArgumentError(`ExpertIndex: expected an expert below ${this.experts}, got ${expert}`);
    }
  }
}

function bytesFor(bits: number): number {
  return Math.ceil(bits / 8);
}
