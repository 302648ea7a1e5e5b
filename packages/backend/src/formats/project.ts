import type { Rows } from '../inference/runtime';
import type { KvRows, LayerSetting } from './layer-attention';

/** Keys and values of the first rows of x as a family has them: projected, keys normed and turned. */
export function projectRows({ runtime, projections, normKeys }: LayerSetting, x: Rows, rows: number, { k, v }: KvRows, angles: Rows | null): void {
  runtime.project(projections, x, k, v, rows);
  normKeys?.(k, rows);
  if (angles) runtime.rotate(k, angles, rows);
}
