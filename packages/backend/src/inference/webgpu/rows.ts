// Programs on activations.
import type { Program } from '../../webgpu/device';
import { activationCode, residuals, tanhCode } from './products';

const THREADS = 64;

/** Workgroups for programs with a thread for each element of `rows` rows. */
export function elementwise(width: number, rows = 1): [number, number] {
  return [Math.ceil(width / THREADS), rows];
}

/** Workgroups for programs whose threads take elements at a fixed stride. */
export function strided(count: number): [number, number] {
  return [Math.min(1024, Math.ceil(count / THREADS)), 1];
}

type Copy = Program<'source', 'width' | 'first' | 'stride' | 'to' | 'toStride'>;

const copyUniforms = { width: 'i32', first: 'i32', stride: 'i32', to: 'i32', toStride: 'i32' } as const;

function copy(key: string, value: (source: string, to: string) => string): Copy {
  return {
    key,
    inputs: ['source'],
    uniforms: copyUniforms,
    threads: THREADS,
    code: `
      fn main() {
        let column = i32(globalId.x);
        let row = i32(workgroupId.y);
        if (column >= uniforms.width) { return; }
        let to = uniforms.to + row * uniforms.toStride + column;
        result[to] = ${value('source[uniforms.first + row * uniforms.stride + column]', 'to')};
      }`,
  };
}

/** Rows of `width` elements from one tensor to another. */
export const copyProgram = copy('copy', (source) => source);

/** The same, added to what is there. */
export const addProgram = copy('add', (source, to) => `result[${to}] + ${source}`);

/** What is there times an element of the source. */
export const multiplyProgram = copy('multiply', (source, to) => `result[${to}] * ${source}`);

/** The same, with the element of a residual at the same place as the result's added. */
export const copyPlusProgram: Program<'source' | 'residual', 'width' | 'first' | 'stride' | 'to' | 'toStride'> = {
  ...copy('copy plus residual', (source, to) => `${source} + residual[${to}]`),
  inputs: ['source', 'residual'],
};

/** Elements of the result from themselves and a number. */
function inPlace(key: string, declarations: string, value: (x: string) => string): Program<never, 'width' | 'number'> {
  return {
    key,
    inputs: [],
    uniforms: { width: 'i32', number: 'f32' },
    threads: THREADS,
    code: `
      ${declarations}
      fn main() {
        let column = i32(globalId.x);
        if (column >= uniforms.width) { return; }
        let at = i32(workgroupId.y) * uniforms.width + column;
        result[at] = ${value('result[at]')};
      }`,
  };
}

export const scaleProgram = inPlace('scale', '', (x) => `${x} * uniforms.number`);
export const softCapProgram = inPlace('soft cap', tanhCode, (x) => `uniforms.number * exactTanh(${x} / uniforms.number)`);
/** The number is one of `activationNumbers`. */
export const activateProgram = inPlace('activate', activationCode, (x) => `activated(${x}, i32(uniforms.number))`);

/** result[i] = the float32 of the bits numbers[first + i] */
export const writeProgram: Program<'numbers', 'first' | 'width'> = {
  key: 'write',
  inputs: ['numbers'],
  uniforms: { first: 'i32', width: 'i32' },
  threads: THREADS,
  code: `
    fn main() {
      let column = i32(globalId.x);
      if (column >= uniforms.width) { return; }
      let at = i32(workgroupId.y) * uniforms.width + column;
      result[at] = bitcast<f32>(numbers[uniforms.first + at]);
    }`,
};

/** In place, each head is turned by the angles of its row; a thread for each pair of a row. */
export const rotateProgram: Program<'angles', 'pairs' | 'half'> = {
  key: 'rotate',
  inputs: ['angles'],
  uniforms: { pairs: 'i32', half: 'i32' },
  threads: THREADS,
  code: `
    fn main() {
      let pair = i32(globalId.x);
      let row = i32(workgroupId.y);
      if (pair >= uniforms.pairs) { return; }
      let i = pair % uniforms.half;
      let at = 2 * (row * uniforms.pairs + pair - i) + i;
      let a = result[at];
      let b = result[at + uniforms.half];
      let cosine = angles[2 * row * uniforms.half + i];
      let sine = angles[(2 * row + 1) * uniforms.half + i];
      result[at] = a * cosine - b * sine;
      result[at + uniforms.half] = b * cosine + a * sine;
    }`,
};

/** Sums `terms` over 256 threads into `terms[0]`, with barriers before and after. */
const sumOf256 = `
  workgroupBarrier();
  for (var half = 128; half > 0; half = half >> 1u) {
    if (t < half) { terms[t] += terms[t + half]; }
    workgroupBarrier();
  }`;

/** A workgroup of 256 for each row; two passes, as sums of squares would cancel. */
export const layerNormProgram: Program<'x' | 'gain' | 'bias', 'width'> = {
  key: 'layer norm',
  inputs: ['x', 'gain', 'bias'],
  uniforms: { width: 'i32' },
  threads: 256,
  code: `
    var<workgroup> terms : array<f32, 256>;
    fn main() {
      let t = i32(localId.x);
      let first = i32(workgroupId.x) * uniforms.width;
      let size = f32(uniforms.width);
      var sum = 0.0;
      for (var i = t; i < uniforms.width; i += 256) { sum += x[first + i]; }
      terms[t] = sum;
      ${sumOf256}
      let mean = terms[0] / size;
      workgroupBarrier();
      var squares = 0.0;
      for (var i = t; i < uniforms.width; i += 256) {
        let centred = x[first + i] - mean;
        squares += centred * centred;
      }
      terms[t] = squares;
      ${sumOf256}
      let factor = inverseSqrt(terms[0] / size + 1e-5);
      for (var i = t; i < uniforms.width; i += 256) {
        result[first + i] = (x[first + i] - mean) * factor * gain[i] + bias[i];
      }
    }`,
};

/** Workgroups in x are the parts of a row that have a gain each, in y the rows. */
function rmsNorm(key: string, inputs: readonly ('x' | 'gain' | 'residual')[], x: string): Program<'x' | 'gain' | 'residual', 'width' | 'epsilon' | 'residualIn'> {
  return {
    key,
    inputs,
    uniforms: { width: 'i32', epsilon: 'f32', residualIn: 'i32' },
    threads: 256,
    code: `
      var<workgroup> terms : array<f32, 256>;
      fn main() {
        let t = i32(localId.x);
        let first = (i32(workgroupId.y) * i32(numWorkgroups.x) + i32(workgroupId.x)) * uniforms.width;
        var squares = 0.0;
        for (var i = t; i < uniforms.width; i += 256) { squares += ${x}[first + i] * ${x}[first + i]; }
        terms[t] = squares;
        ${sumOf256}
        let factor = inverseSqrt(terms[0] / f32(uniforms.width) + uniforms.epsilon);
        for (var i = t; i < uniforms.width; i += 256) {
          var y = ${x}[first + i] * factor * gain[i];
          if (uniforms.residualIn == ${residuals.other}) { y += residual[first + i]; }
          if (uniforms.residualIn == ${residuals.result}) { y += result[first + i]; }
          result[first + i] = y;
        }
      }`,
  };
}

/** A workgroup of 256 for each part. `residualIn` is one of {@link residuals}; without a residual any tensor stands for it. */
export const rmsNormProgram = rmsNorm('rms norm', ['x', 'gain', 'residual'], 'x');
/** The same where x is the result. */
export const rmsNormInPlaceProgram = rmsNorm('rms norm in place', ['gain', 'residual'], 'result');

/**
 * In place, each run of heads of a token's expert becomes its pooled value. `numbers` has the group sizes of the experts, and
 * the tokens' experts.
 */
export const groupProgram: Program<'numbers', 'sizes' | 'experts' | 'width' | 'headDim' | 'root'> = {
  key: 'group',
  inputs: ['numbers'],
  uniforms: { sizes: 'i32', experts: 'i32', width: 'i32', headDim: 'i32', root: 'i32' },
  threads: THREADS,
  code: `
    fn main() {
      let column = i32(globalId.x);
      let token = i32(workgroupId.y);
      let size = numbers[uniforms.sizes + numbers[uniforms.experts + token]];
      // One thread of each run does all of it.
      if (column >= uniforms.width || (column / uniforms.headDim) % size != 0) { return; }
      let first = token * uniforms.width + column;
      var sum = 0.0;
      for (var i = 0; i < size; i++) { sum += result[first + i * uniforms.headDim]; }
      let pooled = sum / select(f32(size), sqrt(f32(size)), uniforms.root == 1);
      for (var i = 0; i < size; i++) { result[first + i * uniforms.headDim] = pooled; }
    }`,
};

/** A workgroup of 256 for each row and column: the sum of squares of a row, then what each group size would lose of it. */
export const distortionsProgram: Program<'x' | 'numbers', 'sizes' | 'width' | 'headDim' | 'root' | 'to' | 'toStride'> = {
  key: 'distortions',
  inputs: ['x', 'numbers'],
  uniforms: { sizes: 'i32', width: 'i32', headDim: 'i32', root: 'i32', to: 'i32', toStride: 'i32' },
  threads: 256,
  code: `
    var<workgroup> terms : array<f32, 256>;
    fn main() {
      let t = i32(localId.x);
      let column = i32(workgroupId.x);
      let row = i32(workgroupId.y);
      let size = numbers[uniforms.sizes + column];
      var lost = 0.0;
      for (var i = t; i < uniforms.width; i += 256) {
        let at = row * uniforms.width + i;
        var off = x[at];
        if (column > 0) {
          let first = at - (i / uniforms.headDim % size) * uniforms.headDim;
          var sum = 0.0;
          for (var j = 0; j < size; j++) { sum += x[first + j * uniforms.headDim]; }
          off -= sum / select(f32(size), sqrt(f32(size)), uniforms.root == 1);
        }
        lost += off * off;
      }
      terms[t] = lost;
      ${sumOf256}
      if (t == 0) { result[row * uniforms.toStride + uniforms.to + column] = terms[0]; }
    }`,
};

/** The bits of `first` elements of x, then of routes, then of observed. */
const tail = `
  let collected = i - uniforms.first;
  if (collected < uniforms.routeCount) {
    result[i] = routes[collected];
  } else {
    result[i] = bitcast<i32>(observed[collected - uniforms.routeCount]);
  }`;

type Gather = Program<'x' | 'routes' | 'observed', 'first' | 'width' | 'routeCount' | 'count'>;

const gather: Pick<Gather, 'inputs' | 'uniforms'> = {
  inputs: ['x', 'routes', 'observed'],
  uniforms: { first: 'i32', width: 'i32', routeCount: 'i32', count: 'i32' },
};

/** What a step gives to the host: values, routes and probabilities, as bits. By any number of workgroups. */
export const gatherValuesProgram: Gather = {
  ...gather,
  key: 'gather values',
  threads: THREADS,
  code: `
    fn main() {
      for (var i = i32(globalId.x); i < uniforms.count; i += ${THREADS} * i32(numWorkgroups.x)) {
        if (i < uniforms.first) {
          result[i] = bitcast<i32>(x[i]);
        } else { ${tail} }
      }
    }`,
};

/**
 * The same with the arg max of each row, −1 where there is none: a workgroup of 256 for each, and one more for the rest. Infinities
 * and NaN are recognised by their bits, as in likelihood.ts.
 */
export const gatherArgMaxProgram: Gather = {
  ...gather,
  key: 'gather arg max',
  threads: 256,
  code: `
    const INFINITY = 0x7f800000u;
    const MINUS_INFINITY = 0xff800000u;
    const NOWHERE = 2147483647;
    var<workgroup> largest : array<f32, 256>;
    var<workgroup> places : array<i32, 256>;
    // A NaN or +∞.
    var<workgroup> hasNone : atomic<i32>;
    fn main() {
      let t = i32(localId.x);
      let row = i32(workgroupId.x);
      if (row == uniforms.first) {
        for (var i = uniforms.first + t; i < uniforms.count; i += 256) { ${tail} }
      }
      var best = -3.4028234e38;
      var place = NOWHERE;
      for (var i = t; i < uniforms.width && row < uniforms.first; i += 256) {
        let value = x[row * uniforms.width + i];
        let bits = bitcast<u32>(value);
        if (bits != MINUS_INFINITY) {
          if ((bits & INFINITY) == INFINITY) { atomicStore(&hasNone, 1); }
          if (value > best || place == NOWHERE) { best = value; place = i; }
        }
      }
      largest[t] = best;
      places[t] = place;
      workgroupBarrier();
      for (var half = 128; half > 0; half = half >> 1u) {
        if (t < half) {
          let value = largest[t + half];
          if (value > largest[t] || (value == largest[t] && places[t + half] < places[t])) {
            largest[t] = value;
            places[t] = places[t + half];
          }
        }
        workgroupBarrier();
      }
      if (t == 0 && row < uniforms.first) {
        result[row] = select(places[0], -1, atomicLoad(&hasNone) == 1 || places[0] == NOWHERE);
      }
    }`,
};
