/** A mark in pixels. */
interface Mark {
  readonly x: number;
  readonly y: number;
}

/**
 * Shifts along x, in pixels, that keep marks which cover one another apart: the higher of them to the right. No mark of a heap
 * ends farther from another than `size` more than they were, so that a picture does not show costs that were not measured.
 *
 * @param size of a mark, in pixels
 */
export function dodge(marks: readonly Mark[], size: number): number[] {
  const shifts = new Array<number>(marks.length).fill(0);
  for (const heap of heapsOf(marks, size)) {
    const ordered = heap.toSorted((a, b) => marks[b]!.y - marks[a]!.y);
    ordered.forEach((mark, place) => (shifts[mark] = heap.length > 1 ? (place / (heap.length - 1) - 0.5) * size : 0));
  }
  return shifts;
}

/** Indices of marks that cover one another, directly or through others between them. */
function heapsOf(marks: readonly Mark[], size: number): number[][] {
  const left = new Set(marks.keys());
  const heaps: number[][] = [];
  for (const first of marks.keys()) {
    if (!left.delete(first)) continue;
    const heap = [first];
    for (const mark of heap) {
      for (const other of left) {
        if (Math.abs(marks[other]!.x - marks[mark]!.x) >= size || Math.abs(marks[other]!.y - marks[mark]!.y) >= size) continue;
        left.delete(other);
        heap.push(other);
      }
    }
    heaps.push(heap);
  }
  return heaps;
}
