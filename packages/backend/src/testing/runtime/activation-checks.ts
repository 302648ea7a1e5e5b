import { weightTypes } from '../../inference/runtime';
import type { WeightType } from '../../inference/runtime';
import { plainLayerNorm, plainLinear } from './plain';
import type { RuntimeCheck } from './check';
import { check } from './check';
import { close, equal, same } from './setting';

/**
 * Largest NMSE of what packed weights give against the float32 weights. bf16 errs by at most 2⁻⁸ of a weight; int8 by half of a
 * 127th of the row's largest weight, and may err by as much again where activations are quantised too.
 */
export const TYPE_TOLERANCE: { readonly [Type in WeightType]: number } = { f32: 1e-7, bf16: 1e-5, int8: 3e-4 };

export const activationChecks: readonly RuntimeCheck[] = [
  check('embed gives rows of the matrix, addEmbedding adds them, and neither touches further rows', async (s) => {
    for (const type of weightTypes) {
      for (const [rows, width] of s.some([[11, 6], [5, 64], [40, 16]] as const, 1)) {
        const layer = s.layer(rows, width, false);
        const table = s.own(s.runtime.packLinear(layer, type));
        const ids = Int32Array.of(rows - 1, 0, 2, 2);
        const wanted = Float32Array.from({ length: 4 * width }, (_, i) => layer.weight[ids[Math.floor(i / width)]! * width + (i % width)]!);
        const before = s.normals(5 * width);
        const x = s.filled(before, width);
        s.runtime.addEmbedding(table, ids, x);
        const sums = [...wanted.map((value, i) => Math.fround(value + before[i]!)), ...before.subarray(4 * width)];
        close(`${type} sums`, await s.values(x), sums, TYPE_TOLERANCE[type]);
        s.runtime.embed(table, ids, x);
        const after = await s.values(x);
        close(`${type} rows`, after.subarray(0, 4 * width), wanted, TYPE_TOLERANCE[type]);
        if (type === 'f32') same('rows', after.subarray(0, 4 * width), wanted);
        same('the row after', after.subarray(4 * width), before.subarray(4 * width));
      }
    }
  }),

  check('layerNorm normalises each row', async (s) => {
    for (const [width, rows] of s.some([[64, 3], [6, 1], [1, 2], [16, 5], [768, 2], [301, 1]] as const)) {
      const values = s.normals(rows * width).map((x) => 3 * x + 5);
      const [gain, bias] = [s.normals(width), s.normals(width)];
      const out = s.rows(rows + 1, width);
      s.runtime.layerNorm(
        s.filled(values, width), s.own(s.runtime.vector(gain)), s.own(s.runtime.vector(bias)), out, rows,
      );
      close(`${rows}x${width}`, await s.values(out, rows), plainLayerNorm(values, rows, gain, bias));
    }
  }),

  check('apply multiplies, with any number of rows', async (s) => {
    for (const [inputs, outputs] of s.some([[64, 33], [6, 5], [16, 3], [37, 130], [96, 768], [768, 40]] as const)) {
      const layer = s.layer(outputs, inputs);
      for (const type of s.some(weightTypes, inputs % 4 === 0 ? 3 : 1)) {
        const weights = s.own(s.runtime.packLinear(layer, type));
        for (const rows of s.quick ? [1, 3, 40] : [1, 2, 3, 4, 5, 8, 33, 40]) {
          const x = s.normals(rows * inputs);
          const out = s.rows(rows, outputs);
          s.runtime.apply(weights, s.filled(x, inputs, rows + 2), out, rows);
          const expected = plainLinear(x, rows, layer.weight, layer.bias, outputs);
          close(`${rows} rows, ${type} ${outputs}x${inputs}`, await s.values(out), expected, TYPE_TOLERANCE[type]);
        }
      }
    }
  }),

  check('apply takes no bias, an activation, and a residual that may be the output', async (s) => {
    const [inputs, outputs] = [32, 20];
    for (const bias of [true, false]) {
      const layer = s.layer(outputs, inputs, bias);
      const weights = s.own(s.runtime.packLinear(layer, 'f32'));
      for (const rows of [1, 3, 40]) {
        const [x, residual] = [s.normals(rows * inputs), s.normals(rows * outputs)];
        const input = s.filled(x, inputs);
        const linear = plainLinear(x, rows, layer.weight, layer.bias, outputs);
        const relu = linear.map((value) => Math.max(value, 0));
        const plus = (y: Float64Array) => y.map((value, i) => value + residual[i]!);
        const out = s.rows(rows, outputs);
        s.runtime.apply(weights, input, out, rows, { activation: 'relu' });
        close('relu', await s.values(out), relu);
        s.runtime.apply(weights, input, out, rows, { residual: s.filled(residual, outputs) });
        close('a residual', await s.values(out), plus(linear));
        s.runtime.apply(weights, input, out, rows, { activation: 'relu', residual: s.filled(residual, outputs) });
        close('relu and a residual', await s.values(out), plus(relu));
        const stream = s.filled(residual, outputs);
        s.runtime.apply(weights, input, stream, rows, { residual: stream });
        close('a residual that is the output', await s.values(stream), plus(linear));
      }
    }
  }),

  check('bf16 weights that need no rounding are exact', async (s) => {
    const layer = s.layer(9, 24);
    layer.weight.forEach((w, i) => (layer.weight[i] = Math.round(w * 64) / 64));
    const x = s.normals(24);
    const out = s.rows(1, 9);
    s.runtime.apply(s.own(s.runtime.packLinear(layer, 'bf16')), s.filled(x, 24), out, 1);
    close('the product', await s.values(out), plainLinear(x, 1, layer.weight, layer.bias, 9));
  }),

  check('an output that is longer than the rows keeps the others', async (s) => {
    const layer = s.layer(8, 8);
    const before = s.normals(3 * 8);
    const out = s.filled(before, 8);
    s.runtime.apply(s.own(s.runtime.packLinear(layer, 'f32')), s.filled(s.normals(8), 8), out, 1);
    same('the others', (await s.values(out)).subarray(8), before.subarray(8));
  }),

  check('copyRows and tensor give rows as they are', async (s) => {
    const values = s.normals(5 * 12);
    const x = s.filled(values, 12);
    const some = s.filled(values, 12, 6);
    s.runtime.copyRows(x, 3, 2, some);
    same('the rows', await s.values(some, 2), values.subarray(36));
    same('the row after', (await s.values(some, 3)).subarray(24), values.subarray(24, 36));
    s.runtime.copyRows(x, 1, 2, some, 4);
    same('rows from the fourth on', await s.values(some, 6), [...values.subarray(36), ...values.subarray(24, 48), ...values.subarray(12, 36)]);
    const tensor = s.runtime.tensor(x, 4);
    same('the shape', tensor.shape, [1, 4, 12]);
    same('the tensor', await tensor.data(), values.subarray(0, 48));
    tensor.dispose();
  }),

  check('read finds the arg max of each row, the first of equals', async (s) => {
    for (const width of s.some([700, 5, 1, 5003], 3)) {
      const values = s.normals(3 * width).map((x) => x - 10);
      for (let row = 0; row < 3; row++) {
        const [a, b] = [s.random.nextInt(width), s.random.nextInt(width)];
        values[row * width + a] = values[row * width + b] = -1;
      }
      const { argMax, values: none } = await s.runtime.read(s.filled(values, width), 3, 'argMax');
      const expected = [0, 1, 2].map((row) => values.subarray(row * width, (row + 1) * width).indexOf(-1));
      same(`the arg max of ${width}`, argMax!, expected);
      equal('values beside an arg max', none, null);
    }
  }),

  check('read finds no arg max in a row with NaN or +∞, or of −∞ alone', async (s) => {
    for (const width of s.some([11, 301, 5001], 3)) {
      const values = s.normals(6 * width);
      values[width - 1] = NaN;
      values[width + 1] = Infinity;
      values.fill(-Infinity, 2 * width, 3 * width);
      values[4 * width - 3] = 20;
      values.fill(-Infinity, 4 * width, 5 * width - 2); // all but two
      values.set([-1e30, -2e30], 5 * width - 2);
      values[5 * width + 2] = NaN;
      values[5 * width + 3] = Infinity;
      const { argMax } = await s.runtime.read(s.filled(values, width), 6, 'argMax');
      same(`the arg max of ${width}`, argMax!, [-1, -1, -1, width - 3, width - 2, -1]);
    }
  }),
];
