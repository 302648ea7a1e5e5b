// Causal attention over a whole prompt: a thread for each query, keys and values through shared memory by tiles, and one
// running softmax, so that no matrix of scores exists.
import type { Program } from '../../webgpu/device';
import { tanhCode } from './products';
import { remember } from './remember';

const THREADS = 64;
/** Floats of shared memory for a tile: half of the 16 KiB that every device has for keys, half for values. */
const TILE_FLOATS = 2048;

type Uniforms = 'scale' | 'softCap' | 'window' | 'rows' | 'before' | 'heads' | 'firstHead' | 'kvHeads' | 'sums';

const uniforms: Program<never, Uniforms>['uniforms'] = {
  scale: 'f32', softCap: 'f32', window: 'i32', rows: 'i32', before: 'i32', heads: 'i32', firstHead: 'i32', kvHeads: 'i32', sums: 'i32',
};

const scoreCode = `
  ${tanhCode}
  fn capped(score : f32) -> f32 {
    if (uniforms.softCap > 0.0) { return uniforms.softCap * exactTanh(score / uniforms.softCap); }
    return score;
  }`;

/** Vectors of 4 that a head takes, the last filled up with zeros, and tokens of a tile. */
function sizesOf(headDim: number) {
  const fours = Math.ceil(headDim / 4);
  return { fours, tile: Math.min(32, Math.floor(TILE_FLOATS / (4 * fours))) };
}

/** `fn <input>Four(at, i)`: elements 4·i to 4·i + 3 of the head that begins at an element of an input. */
function fourCode(input: string, headDim: number): string {
  const element = (j: number) => {
    const value = `${input}[at + 4 * i + ${j}]`;
    return headDim % 4 === 0 ? value : `select(0.0, ${value}, 4 * i + ${j} < ${headDim})`;
  };
  return `fn ${input}Four(at : i32, i : i32) -> vec4<f32> { return vec4<f32>(${[0, 1, 2, 3].map(element).join(', ')}); }`;
}

/** Workgroups in x for query heads, in y for rows. */
export function causalGroups(heads: number, rows: number): [number, number] {
  return [heads, Math.ceil(rows / THREADS)];
}

/**
 * result[row] = attention of q[row], the token at `before` + row, to at most `window` tokens, for the query heads from `firstHead` on; from `sums` on, unless it is −1, for each [head, row] the largest
 * score and Σ exp(score − largest). A soft cap of 0 is none.
 */
export const causalProgram = remember((headDim: number): Program<'q' | 'k' | 'v', Uniforms> => {
  const { fours, tile } = sizesOf(headDim);
  return {
    key: `causal attention ${headDim}`,
    inputs: ['q', 'k', 'v'],
    uniforms,
    threads: THREADS,
    code: `
      ${scoreCode}
      ${['q', 'k', 'v'].map((input) => fourCode(input, headDim)).join('\n')}
      var<workgroup> keys : array<vec4<f32>, ${tile * fours}>;
      var<workgroup> values : array<vec4<f32>, ${tile * fours}>;
      fn main() {
        let t = i32(localId.x);
        let head = uniforms.firstHead + i32(workgroupId.x);
        let kvHead = head / (uniforms.heads / uniforms.kvHeads);
        let row = i32(workgroupId.y) * ${THREADS} + t;
        let position0 = uniforms.before + i32(workgroupId.y) * ${THREADS};
        let position = position0 + t;
        let own = (row * uniforms.heads + head) * ${headDim};
        var query : array<vec4<f32>, ${fours}>;
        var out : array<vec4<f32>, ${fours}>;
        for (var d = 0; d < ${fours} && row < uniforms.rows; d++) { query[d] = qFour(own, d) * uniforms.scale; }
        var largest = -1e30;
        var sum = 0.0;
        // All tiles, as barriers need the same of every workgroup; those after the last query are passed over.
        for (var key0 = 0; key0 < uniforms.before + uniforms.rows; key0 += ${tile}) {
          for (var i = t; i < ${tile * fours} && key0 < position0 + ${THREADS} && key0 + ${tile} + uniforms.window > position0; i += ${THREADS}) {
            let at = ((key0 + i / ${fours}) * uniforms.kvHeads + kvHead) * ${headDim};
            keys[i] = kFour(at, i % ${fours});
            values[i] = vFour(at, i % ${fours});
          }
          workgroupBarrier();
          let begin = max(0, position - uniforms.window + 1 - key0);
          let end = min(${tile}, position - key0 + 1);
          if (row < uniforms.rows && begin < end) {
            var scores : array<f32, ${tile}>;
            var most = largest;
            for (var j = begin; j < end; j++) {
              var score = 0.0;
              for (var d = 0; d < ${fours}; d++) { score += dot(query[d], keys[j * ${fours} + d]); }
              scores[j] = capped(score);
              most = max(most, scores[j]);
            }
            let kept = exp(largest - most);
            largest = most;
            sum *= kept;
            for (var d = 0; d < ${fours}; d++) { out[d] *= kept; }
            for (var j = begin; j < end; j++) {
              let share = exp(scores[j] - most);
              sum += share;
              for (var d = 0; d < ${fours}; d++) { out[d] += share * values[j * ${fours} + d]; }
            }
          }
          workgroupBarrier();
        }
        if (row >= uniforms.rows) { return; }
        for (var d = 0; d < ${headDim}; d++) { result[own + d] = out[d / 4][d % 4] / sum; }
        if (uniforms.sums >= 0) {
          let at = uniforms.sums + 2 * (head * uniforms.rows + row);
          result[at] = largest;
          result[at + 1] = sum;
        }
      }`,
  };
});

/**
 * result[head, key] = the probability that a token gets from the queries, of which the first is at `before`, of a head; `attended` is what
 * the other program gave.
 */
export const causalProbabilityProgram = remember((headDim: number): Program<'q' | 'k' | 'attended', Uniforms> => {
  const { fours, tile } = sizesOf(headDim);
  return {
    key: `causal probabilities ${headDim}`,
    inputs: ['q', 'k', 'attended'],
    uniforms,
    threads: THREADS,
    code: `
      ${scoreCode}
      ${['q', 'k'].map((input) => fourCode(input, headDim)).join('\n')}
      var<workgroup> queries : array<vec4<f32>, ${tile * fours}>;
      fn main() {
        let t = i32(localId.x);
        let head = uniforms.firstHead + i32(workgroupId.x);
        let kvHead = head / (uniforms.heads / uniforms.kvHeads);
        let keys = uniforms.before + uniforms.rows;
        let position0 = i32(workgroupId.y) * ${THREADS};
        let position = position0 + t;
        let own = (position * uniforms.kvHeads + kvHead) * ${headDim};
        var key : array<vec4<f32>, ${fours}>;
        for (var d = 0; d < ${fours} && position < keys; d++) { key[d] = kFour(own, d) * uniforms.scale; }
        var probability = 0.0;
        for (var query0 = 0; query0 < uniforms.rows; query0 += ${tile}) {
          let at0 = uniforms.before + query0;
          for (var i = t; i < ${tile * fours} && at0 + ${tile} > position0; i += ${THREADS}) {
            queries[i] = qFour(((query0 + i / ${fours}) * uniforms.heads + head) * ${headDim}, i % ${fours});
          }
          workgroupBarrier();
          for (var j = max(0, position - at0); j < min(${tile}, min(keys, position + uniforms.window) - at0); j++) {
            var score = 0.0;
            for (var d = 0; d < ${fours}; d++) { score += dot(key[d], queries[j * ${fours} + d]); }
            let at = uniforms.sums + 2 * (head * uniforms.rows + query0 + j);
            probability += exp(capped(score) - attended[at]) / attended[at + 1];
          }
          workgroupBarrier();
        }
        if (position < keys) { result[head * keys + position] = probability; }
      }`,
  };
});

/** result[key] += the sum of source[head, key] over some heads. */
export const sumHeadsProgram: Program<'source', 'keys' | 'firstHead' | 'endHead'> = {
  key: 'sum over heads',
  inputs: ['source'],
  uniforms: { keys: 'i32', firstHead: 'i32', endHead: 'i32' },
  threads: THREADS,
  code: `
    fn main() {
      let key = i32(globalId.x);
      if (key >= uniforms.keys) { return; }
      var sum = 0.0;
      for (var head = uniforms.firstHead; head < uniforms.endHead; head++) { sum += source[head * uniforms.keys + key]; }
      result[key] = result[key] + sum;
    }`,
};
