/** Values of each parameter that count. */
const SAMPLES = 64;

/**
 * A name for a model and its weights, from its configuration and evenly spread values of every parameter: FNV-1a, 64 bits
 * as hexadecimal digits. It tells models apart by mistake, not by intent.
 */
export function fingerprint(config: object, values: ReadonlyMap<string, Float32Array>): string {
  const bytes: Uint8Array[] = [new TextEncoder().encode(JSON.stringify(config))];
  for (const [name, array] of [...values].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const step = Math.max(1, Math.floor(array.length / SAMPLES));
    bytes.push(new TextEncoder().encode(`${name}:${array.length}`));
    bytes.push(new Uint8Array(array.filter((_, i) => i % step === 0).buffer));
  }
  let hash = 0xcbf29ce484222325n;
  for (const part of bytes) {
    for (const byte of part) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}
