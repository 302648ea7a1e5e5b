// Rotary positions of a pass.
import type { VectorRuntime, Rows } from '@mixsga/backend';

/**
 * Cosines, then sines, of the angles of some positions: float32 [positions, 2·frequencies]. Angles are rounded to float32 before,
 * as in PyTorch.
 */
export function rotaryAngles(frequencies: Float32Array, positions: Int32Array): Float32Array {
  const half = frequencies.length;
  const angles = new Float32Array(positions.length * 2 * half);
  positions.forEach((position, row) => {
    frequencies.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      angles[row * 2 * half + i] = Math.cos(angle);
      angles[row * 2 * half + half + i] = Math.sin(angle);
    });
  });
  return angles;
}

/** {@link rotaryAngles} of some tokens' positions by layer, held once for layers that rotate alike: [tokens, headDim] each. */
export class LayerAngles {
  readonly #rows = new Map<Float32Array, Rows>();

  /**
   * @param frequencies of each layer; the same array where layers rotate alike
   * @param make rows as wide as a head
   */
  constructor(
    private readonly frequencies: readonly Float32Array[],
    make: () => Rows,
  ) {
    for (const own of new Set(frequencies)) this.#rows.set(own, make());
  }

  ofLayer(layer: number): Rows {
    return this.#rows.get(this.frequencies[layer]!)!;
  }

  /** The first rows become those of some positions. */
  write(runtime: VectorRuntime, positions: Int32Array): void {
    for (const [frequencies, rows] of this.#rows) runtime.write(rotaryAngles(frequencies, positions), rows);
  }

  /** The first `count` rows of all layers go to another's, from row `at` on. */
  copyTo(to: LayerAngles, runtime: VectorRuntime, count: number, at: number): void {
    for (const [frequencies, rows] of this.#rows) runtime.copyRows(rows, 0, count, to.#rows.get(frequencies)!, at);
  }

  dispose(): void {
    for (const rows of this.#rows.values()) rows.dispose();
  }
}
