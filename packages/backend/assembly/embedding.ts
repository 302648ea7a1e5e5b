import { at } from './simd';

/** to[i] = table[ids[i]], rows of `size` floats. The caller has checked the ids. */
export function gatherRows(table: usize, ids: usize, to: usize, count: i32, size: i32): void {
  for (let i = 0; i < count; i++) {
    memory.copy(to + at(i * size), table + at(load<i32>(ids + at(i)) * size), at(size));
  }
}

/** to[ids[i]] += rows[i], in the order of i, so that the sum is the same on every run. `to` is zeroed first. */
export function scatterAddRows(rows: usize, ids: usize, to: usize, count: i32, size: i32, tableRows: i32): void {
  memory.fill(to, 0, at(tableRows * size));
  for (let i = 0; i < count; i++) {
    const from = rows + at(i * size);
    const row = to + at(load<i32>(ids + at(i)) * size);
    let d = 0;
    for (; d + 4 <= size; d += 4) v128.store(row + at(d), f32x4.add(v128.load(row + at(d)), v128.load(from + at(d))));
    for (; d < size; d++) store<f32>(row + at(d), load<f32>(row + at(d)) + load<f32>(from + at(d)));
  }
}
