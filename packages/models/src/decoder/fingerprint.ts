/** Values of each parameter that count. */
const SAMPLES = 64;

/**
 * A name for a model and its weights, from its configuration and evenly spread values of the parameters in the order in which
 * they are read: FNV-1a, 64 bits as hexadecimal digits. It tells models apart by mistake, not by intent.
 */
export class Fingerprint {
  #hash = 0xcbf29ce484222325n;

  constructor(config: object) {
    this.#add(new TextEncoder().encode(JSON.stringify(config)));
  }

  addParameter(name: string, values: Float32Array): void {
    const step = Math.max(1, Math.floor(values.length / SAMPLES));
    const samples = Float32Array.from({ length: Math.ceil(values.length / step) }, (_, i) => values[i * step]!);
    this.#add(new TextEncoder().encode(`${name}:${values.length}`));
    this.#add(new Uint8Array(samples.buffer));
  }

  toString(): string {
    return this.#hash.toString(16).padStart(16, '0');
  }

  #add(bytes: Uint8Array): void {
    for (const byte of bytes) this.#hash = BigInt.asUintN(64, (this.#hash ^ BigInt(byte)) * 0x100000001b3n);
  }
}
