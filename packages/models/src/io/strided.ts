/** The elements of a strided view, row-major. */
export interface StridedView {
  readonly shape: readonly number[];
  /** In elements, one for each dimension. */
  readonly strides: readonly number[];
}

/** Elements from the first of a view to its last, both counted; 0 of an empty one. */
export function spanOf({ shape, strides }: StridedView): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, n, i) => span + (n - 1) * strides[i]!, 1);
}

/** Whether the elements lie one after another. */
export function isContiguous({ shape, strides }: StridedView): boolean {
  if (shape.includes(0)) return true;
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i]! > 1 && strides[i] !== step) return false;
    step *= shape[i]!;
  }
  return true;
}

/**
 * Copies the elements of a view out of its span.
 * @param span the bytes of {@link spanOf} elements
 * @param bytesPerValue size of an element: 1, 2, 4 or 8
 */
export function gather(span: Uint8Array<ArrayBuffer>, { shape, strides }: StridedView, bytesPerValue: number): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, n) => product * n, 1);
  const Words = bytesPerValue === 1 ? Uint8Array : bytesPerValue === 2 ? Uint16Array : Uint32Array;
  const words = bytesPerValue / Words.BYTES_PER_ELEMENT; // of an element
  const from = new Words(span.buffer);
  const to = new Words(count * words);
  const place = shape.map(() => 0);
  let source = 0;
  for (let at = 0; at < to.length; at += words) {
    for (let word = 0; word < words; word++) to[at + word] = from[source * words + word]!;
    for (let i = shape.length - 1; i >= 0; i--) {
      source += strides[i]!;
      if (++place[i]! < shape[i]!) break;
      source -= place[i]! * strides[i]!;
      place[i] = 0;
    }
  }
  return new Uint8Array(to.buffer);
}
