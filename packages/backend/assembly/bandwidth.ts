/** Reads `bytes` (a multiple of 128) in order and gives their sum, so that nothing is left out: the bandwidth of one thread. */
export function readStream(from: usize, bytes: usize): f32 {
  let a = f32x4.splat(0), b = a, c = a, d = a;
  const end = from + bytes;
  for (; from < end; from += 128) {
    a = f32x4.add(a, v128.load(from));
    b = f32x4.add(b, v128.load(from, 16));
    c = f32x4.add(c, v128.load(from, 32));
    d = f32x4.add(d, v128.load(from, 48));
    a = f32x4.add(a, v128.load(from, 64));
    b = f32x4.add(b, v128.load(from, 80));
    c = f32x4.add(c, v128.load(from, 96));
    d = f32x4.add(d, v128.load(from, 112));
  }
  return f32x4.extract_lane(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), 0);
}
