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
