// Programs that multiply by packed matrices.
import type { Program } from '../../webgpu/device';
import type { Activation, WeightType } from '../runtime';
import { remember } from './remember';

/** How a matrix lies on the device. */
export interface Layout {
  readonly type: WeightType;
  /** Whether the inputs are a multiple of 4, so that programs take them by fours. */
  readonly vector: boolean;
}

/** Outputs of a workgroup. */
const OUTPUTS = 4;
const THREADS = 64;

/** Values in a 32-bit word of a packed matrix; each row begins at a word. */
export const valuesPerWord: { readonly [Type in WeightType]: number } = { f32: 1, bf16: 2, int8: 4 };

type WeightInput = 'weights' | 'scales';

/** Inputs of a program that reads x and a matrix. */
function productInputs({ type, vector }: Layout) {
  const words = vector ? 4 / valuesPerWord[type] : 1;
  return {
    inputs: ['x', ...weightInputs(type)] as const,
    vectors: { ...(vector ? { x: 4 as const } : {}), ...(words === 1 ? {} : { weights: words as 2 | 4 }) },
  };
}

function weightInputs(type: WeightType): readonly WeightInput[] {
  return type === 'int8' ? ['weights', 'scales'] : ['weights'];
}

/** For the uniform `stride` of the programs: steps in `weights` from one row to the next. */
export function strideOf({ type, vector }: Layout, inputs: number): number {
  return vector ? inputs / 4 : Math.ceil(inputs / valuesPerWord[type]);
}

/** `fn weight(row, i)`: element i of a row; with `vector` the four elements from 4·i on. */
function weightCode({ type, vector }: Layout): string {
  const bodies: { readonly [Type in WeightType]: readonly [one: string, four: string] } = {
    f32: ['return weights[row * uniforms.stride + i];', 'return weights[row * uniforms.stride + i];'],
    bf16: [
      `let word = bitcast<u32>(weights[row * uniforms.stride + i / 2]);
       return bitcast<f32>(select(word & 0xffff0000u, word << 16u, i % 2 == 0));`,
      `let words = bitcast<vec2<u32>>(weights[row * uniforms.stride + i]);
       return bitcast<vec4<f32>>(vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));`,
    ],
    int8: [
      `let word = weights[row * uniforms.stride + i / 4];
       return f32((word << u32(24 - 8 * (i % 4))) >> 24u) * scales[row];`,
      `let word = weights[row * uniforms.stride + i];
       return vec4<f32>((vec4<i32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u)) * scales[row];`,
    ],
  };
  return `fn weight(row : i32, i : i32) -> ${vector ? 'vec4<f32>' : 'f32'} { ${bodies[type][vector ? 1 : 0]} }`;
}

const times = ({ vector }: Layout, a: string, b: string) => (vector ? `dot(${a}, ${b})` : `${a} * ${b}`);

/** Sums each of `count` rows of 64 terms into its first one. */
const sumRows = (count: number) => `
  workgroupBarrier();
  for (var half = 32; half > 0; half = half >> 1u) {
    if (t < half) {
      for (var k = 0; k < ${count}; k++) { terms[k * 64 + t] += terms[k * 64 + t + half]; }
    }
    workgroupBarrier();
  }`;

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const lines = (count: number, line: (i: number) => string) => range(count).map(line).join('\n');

/** What `apply` adds last: nothing, a tensor, or what is in the result. A uniform, since compiling takes longer than asking. */
export const residuals = { none: 0, other: 1, result: 2 } as const;

/** Activations by the number that programs know them by; 0 is none. */
export const activationNumbers: { readonly [A in Activation]: number } = { relu: 1, silu: 2, gelu: 3 };

/** `fn exactTanh(x)`: that of WGSL may be NaN where exp(2x) is infinite, and loses its digits to cancellation around 0. */
export const tanhCode = `
  fn exactTanh(x : f32) -> f32 {
    let square = x * x;
    let series = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * 17.0 / 315.0)));
    return select(tanh(clamp(x, -15.0, 15.0)), series, square < 0.04);
  }`;

/** `fn activated(y, activation)` */
export const activationCode = `
  ${tanhCode}
  fn activated(y : f32, activation : i32) -> f32 {
    switch (activation) {
      case ${activationNumbers.relu}: { return max(y, 0.0); }
      case ${activationNumbers.silu}: { return y / (1.0 + exp(-y)); }
      case ${activationNumbers.gelu}: { return 0.5 * y * (1.0 + exactTanh(${Math.sqrt(2 / Math.PI)} * (y + 0.044715 * y * y * y))); }
      default: { return y; }
    }
  }`;

type ApplyProgram = Program<
  'x' | WeightInput | 'bias' | 'residual', 'steps' | 'stride' | 'outputs' | 'rows' | 'hasBias' | 'activation' | 'residualIn'
>;

/**
 * result = activation(x · weightᵀ + bias) + residual; {@link applyGroups} workgroups. Without a bias or a residual, any tensor
 * stands for it.
 * @param rows of x that a workgroup multiplies with the weights that it reads
 */
export const applyProgram = remember((layout: Layout, rows: 1 | 4): ApplyProgram => {
  const { inputs, vectors } = productInputs(layout);
  const count = rows * OUTPUTS;
  return {
    key: `apply ${layout.type} ${layout.vector} ${rows}`,
    inputs: [...inputs, 'bias', 'residual'],
    vectors,
    uniforms: { steps: 'i32', stride: 'i32', outputs: 'i32', rows: 'i32', hasBias: 'i32', activation: 'i32', residualIn: 'i32' },
    threads: THREADS,
    code: `
      var<workgroup> terms : array<f32, ${64 * count}>;
      ${weightCode(layout)}
      ${activationCode}
      fn main() {
        let t = i32(localId.x);
        let output0 = i32(workgroupId.x) * ${OUTPUTS};
        let row0 = i32(workgroupId.y) * ${rows};
        ${lines(OUTPUTS, (o) => `let output_${o} = min(output0 + ${o}, uniforms.outputs - 1);`)}
        ${lines(rows, (r) => `let row_${r} = min(row0 + ${r}, uniforms.rows - 1) * uniforms.steps;`)}
        ${lines(count, (k) => `var sum_${k} = 0.0;`)}
        for (var i = t; i < uniforms.steps; i += ${THREADS}) {
          ${lines(rows, (r) => `let x_${r} = x[row_${r} + i];`)}
          ${lines(OUTPUTS, (o) => `let w_${o} = weight(output_${o}, i);`)}
          ${lines(count, (k) => `sum_${k} += ${times(layout, `x_${Math.floor(k / OUTPUTS)}`, `w_${k % OUTPUTS}`)};`)}
        }
        ${lines(count, (k) => `terms[${k} * 64 + t] = sum_${k};`)}
        ${sumRows(count)}
        let row = row0 + t / ${OUTPUTS};
        let output = output0 + t % ${OUTPUTS};
        if (t < ${count} && row < uniforms.rows && output < uniforms.outputs) {
          let at = row * uniforms.outputs + output;
          var y = terms[t * 64];
          if (uniforms.hasBias == 1) { y += bias[output]; }
          y = activated(y, uniforms.activation);
          if (uniforms.residualIn == ${residuals.other}) { y += residual[at]; }
          if (uniforms.residualIn == ${residuals.result}) { y += result[at]; }
          result[at] = y;
        }
      }`,
  };
});

export function applyGroups(rows: 1 | 4, outputs: number, count: number): [number, number] {
  return [Math.ceil(outputs / OUTPUTS), Math.ceil(count / rows)];
}

type StoreProgram = Program<
  'x' | WeightInput | 'bias' | 'routes' | 'angles',
  'steps' | 'stride' | 'row' | 'stored' | 'headDim' | 'groupSize' | 'factor' | 'route' | 'expert' | 'page' | 'tokens' | 'offset' | 'angle0'
>;

/**
 * Keys and values of one token, projected and pooled, into its slot of a page of `tokens` tokens; nothing unless the token's route is the
 * expert. `route` is its index in `routes`; −1: the token is known to be the expert's. Keys are turned by the angles from
 * `angle0` on, unless it is −1. {@link storeGroups} workgroups.
 */
export const storeProgram = remember((layout: Layout): StoreProgram => {
  const { inputs, vectors } = productInputs(layout);
  return {
    key: `store ${layout.type} ${layout.vector}`,
    inputs: [...inputs, 'bias', 'routes', 'angles'],
    vectors,
    uniforms: {
      steps: 'i32', stride: 'i32', row: 'i32', stored: 'i32', headDim: 'i32', groupSize: 'i32', factor: 'f32', route: 'i32',
      expert: 'i32', page: 'i32', tokens: 'i32', offset: 'i32', angle0: 'i32',
    },
    threads: THREADS,
    code: `
      var<workgroup> terms : array<f32, ${64 * OUTPUTS}>;
      ${weightCode(layout)}
      // Outputs are [k or v, stored head, dimension], where two that turn into each other follow one another.
      fn dimensionOf(output : i32) -> i32 {
        let i = output % uniforms.headDim;
        return select(i, i / 2 + (i % 2) * (uniforms.headDim / 2), uniforms.headDim % 2 == 0);
      }
      // Rows of the matrix are [k or v, stored head, head of its group, dimension].
      fn firstRow(output : i32) -> i32 {
        return (output / uniforms.headDim) * uniforms.groupSize * uniforms.headDim + dimensionOf(output);
      }
      fn main() {
        if (uniforms.route >= 0) {
          if (routes[uniforms.route] != uniforms.expert) { return; }
        }
        let t = i32(localId.x);
        let output0 = i32(workgroupId.x) * ${OUTPUTS};
        let outputs = 2 * uniforms.stored * uniforms.headDim;
        ${lines(OUTPUTS, (o) => `let row_${o} = firstRow(min(output0 + ${o}, outputs - 1)); var sum_${o} = 0.0;`)}
        for (var i = t; i < uniforms.steps; i += ${THREADS}) {
          let x_i = x[uniforms.row * uniforms.steps + i];
          for (var head = 0; head < uniforms.groupSize; head++) {
            ${lines(OUTPUTS, (o) => `sum_${o} += ${times(layout, 'x_i', `weight(row_${o} + head * uniforms.headDim, i)`)};`)}
          }
        }
        ${lines(OUTPUTS, (o) => `terms[${o} * 64 + t] = sum_${o};`)}
        ${sumRows(OUTPUTS)}
        let output = min(output0 + t, outputs - 1);
        var y = 0.0;
        if (t < ${OUTPUTS}) {
          y = terms[t * 64];
          for (var head = 0; head < uniforms.groupSize; head++) { y += bias[firstRow(output) + head * uniforms.headDim]; }
          y *= uniforms.factor;
        }
        workgroupBarrier();
        if (t < ${OUTPUTS}) { terms[t] = y; }
        workgroupBarrier();
        if (t >= ${OUTPUTS} || output0 + t >= outputs) { return; }
        let width = uniforms.stored * uniforms.headDim;
        let head = (output % width) / uniforms.headDim;
        let d = dimensionOf(output);
        if (output < width) {
          if (uniforms.angle0 >= 0) {
            let half = uniforms.headDim / 2;
            let angle = uniforms.angle0 + d % half;
            let other = terms[t ^ 1] * angles[angle + half];
            y = y * angles[angle] + select(other, -other, d < half);
          }
          // Keys are [head, dimension, token], values [head, token, dimension].
          result[uniforms.page + (head * uniforms.headDim + d) * uniforms.tokens + uniforms.offset] = y;
        } else {
          result[uniforms.page + width * uniforms.tokens + (head * uniforms.tokens + uniforms.offset) * uniforms.headDim + d] = y;
        }
      }`,
  };
});

export function storeGroups(stored: number, headDim: number): [number, number] {
  return [Math.ceil((2 * stored * headDim) / OUTPUTS), 1];
}

/**
 * Projected keys and values of one row, pooled, into its slot as {@link storeProgram} has it. A thread for each [k or v, stored head,
 * dimension].
 */
export const storeProjectedProgram: Program<
  'k' | 'v' | 'routes', 'row' | 'stored' | 'headDim' | 'groupSize' | 'factor' | 'route' | 'expert' | 'page' | 'tokens' | 'offset'
> = {
  key: 'store projected',
  inputs: ['k', 'v', 'routes'],
  uniforms: {
    row: 'i32', stored: 'i32', headDim: 'i32', groupSize: 'i32', factor: 'f32', route: 'i32', expert: 'i32', page: 'i32', tokens: 'i32', offset: 'i32',
  },
  threads: 64,
  code: `
    fn main() {
      if (uniforms.route >= 0) {
        if (routes[uniforms.route] != uniforms.expert) { return; }
      }
      let width = uniforms.stored * uniforms.headDim;
      if (i32(globalId.x) >= 2 * width) { return; }
      let column = i32(globalId.x) % width;
      let head = column / uniforms.headDim;
      let d = column % uniforms.headDim;
      let first = (uniforms.row * uniforms.stored + head) * uniforms.groupSize * uniforms.headDim + d;
      var sum = 0.0;
      if (i32(globalId.x) < width) {
        for (var i = 0; i < uniforms.groupSize; i++) { sum += k[first + i * uniforms.headDim]; }
        result[uniforms.page + column * uniforms.tokens + uniforms.offset] = sum * uniforms.factor;
      } else {
        for (var i = 0; i < uniforms.groupSize; i++) { sum += v[first + i * uniforms.headDim]; }
        result[uniforms.page + width * uniforms.tokens + (head * uniforms.tokens + uniforms.offset) * uniforms.headDim + d] = sum * uniforms.factor;
      }
    }`,
};

type RouteProgram = Program<'x' | WeightInput | 'bias', 'steps' | 'stride' | 'row' | 'experts' | 'at'>;

/** result[at] = arg max of sigmoid(x · weightᵀ + bias), ties to the lower expert; one workgroup. */
export const routeProgram = remember((layout: Layout, bias: boolean): RouteProgram => {
  const { inputs, vectors } = productInputs(layout);
  return {
    key: `route ${layout.type} ${layout.vector} ${bias}`,
    inputs: [...inputs, ...(bias ? (['bias'] as const) : [])],
    vectors,
    uniforms: { steps: 'i32', stride: 'i32', row: 'i32', experts: 'i32', at: 'i32' },
    threads: THREADS,
    code: `
      var<workgroup> terms : array<f32, 64>;
      ${weightCode(layout)}
      fn main() {
        let t = i32(localId.x);
        var best = -1.0;
        var choice = 0;
        for (var expert = 0; expert < uniforms.experts; expert++) {
          var sum = 0.0;
          for (var i = t; i < uniforms.steps; i += ${THREADS}) {
            sum += ${times(layout, 'x[uniforms.row * uniforms.steps + i]', 'weight(expert, i)')};
          }
          terms[t] = sum;
          ${sumRows(1)}
          let score = 1.0 / (1.0 + exp(-(terms[0]${bias ? ' + bias[expert]' : ''})));
          if (score > best) { best = score; choice = expert; }
          workgroupBarrier();
        }
        if (t == 0) { result[uniforms.at] = choice; }
      }`,
  };
});

/** result[row] (+)= row numbers[ids + row] of the matrix; a thread for each element. */
export const embedProgram = remember((type: WeightType, add: boolean): Program<WeightInput | 'numbers', 'stride' | 'width' | 'ids'> => {
  const layout = { type, vector: false };
  return {
    key: `embed ${type} ${add}`,
    inputs: [...weightInputs(type), 'numbers'],
    uniforms: { stride: 'i32', width: 'i32', ids: 'i32' },
    threads: THREADS,
    code: `
      ${weightCode(layout)}
      fn main() {
        let column = i32(globalId.x);
        let row = i32(workgroupId.y);
        if (column >= uniforms.width) { return; }
        let at = row * uniforms.width + column;
        result[at] = ${add ? 'result[at] + ' : ''}weight(numbers[uniforms.ids + row], column);
      }`,
  };
});

/** The whole matrix in float32, by any number of workgroups. */
export const widenProgram = remember((type: WeightType): Program<WeightInput, 'stride' | 'width' | 'size'> => {
  const layout = { type, vector: false };
  return {
    key: `widen ${type}`,
    inputs: weightInputs(type),
    uniforms: { stride: 'i32', width: 'i32', size: 'i32' },
    threads: THREADS,
    code: `
      ${weightCode(layout)}
      fn main() {
        for (var i = i32(globalId.x); i < uniforms.size; i += ${THREADS} * i32(numWorkgroups.x)) {
          result[i] = weight(i / uniforms.width, i % uniforms.width);
        }
      }`,
  };
});
