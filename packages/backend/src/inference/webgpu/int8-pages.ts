// Programs on pages of int8. A head of a token has ⌈headDim/4⌉ words of four dimensions each, the lowest bits first, and then one
// with the bits of its scale, so that a page lies as one of float32 does whose heads have as many numbers as these have words.
// Quantisation is that of ../kv-type.ts.
import type { Program } from '../../webgpu/device';
import type { KvType } from '../kv-type';
import { TOKENS_PER_PAGE } from '../pages';

const THREADS = 64;

/** 32-bit elements that the keys, or the values, of a stored head of a token take. */
export function headElements(type: KvType, headDim: number): number {
  return type === 'f32' ? headDim : Math.ceil(headDim / 4) + 1;
}

/** `fn wordAt(heads, value, token, head, word)`: the place of a word of a key (0) or value (1) in a page of that many heads. */
const wordCode = `
  fn wordsOfHead() -> i32 { return (uniforms.headDim + 3) / 4 + 1; }
  fn wordAt(heads : i32, value : i32, token : i32, head : i32, word : i32) -> i32 {
    let words = wordsOfHead();
    if (value == 0) { return (head * words + word) * ${TOKENS_PER_PAGE} + token; }
    return ${TOKENS_PER_PAGE} * heads * words + (head * ${TOKENS_PER_PAGE} + token) * words + word;
  }`;

/** `fn scaleOfHead()`, `fn quantised(x, scale)`; the numbers of the head are `element(d)`, which `declarations` have. */
const quantiseCode = (declarations: string) => `
  ${declarations}
  fn scaleOfHead() -> f32 {
    var largest = 0.0;
    for (var d = 0; d < uniforms.headDim; d++) { largest = max(largest, abs(element(d))); }
    if (largest < ${2 ** -100}) { return 0.0; }
    return bitcast<f32>((bitcast<u32>(largest / 127.0) + 64u) & 0xffffff80u);
  }
  fn quantised(x : f32, scale : f32) -> i32 {
    if (scale == 0.0) { return 0; }
    return clamp(i32(round(x / scale)), -127, 127);
  }`;

/** Writes a head from `element`; `page`, `token`, `head` and `value` say where to. */
const writeHead = `
  let scale = scaleOfHead();
  for (var word = 0; word < wordsOfHead() - 1; word++) {
    var bits = 0u;
    for (var i = 0; i < 4 && 4 * word + i < uniforms.headDim; i++) {
      bits = bits | ((bitcast<u32>(quantised(element(4 * word + i), scale)) & 255u) << u32(8 * i));
    }
    result[page + wordAt(uniforms.heads, value, token, head, word)] = bitcast<i32>(bits);
  }
  result[page + wordAt(uniforms.heads, value, token, head, wordsOfHead() - 1)] = bitcast<i32>(scale);`;

/**
 * Rows of keys and values to slots of a chunk: `numbers` has for each its row, the first element of its page and its token
 * there. A row has the heads of whole groups, of which the first stands for all; rows of values begin at element `v0` of `v`.
 * Nothing happens unless `route` is −1 or the token's route is the expert. A thread for each [k or v, head], rows in y.
 */
export const quantiseRowsProgram: Program<
  'k' | 'v' | 'numbers' | 'routes', 'heads' | 'headDim' | 'groupSize' | 'entries' | 'v0' | 'route' | 'expert'
> = {
  key: 'rows to int8 pages',
  inputs: ['k', 'v', 'numbers', 'routes'],
  uniforms: { heads: 'i32', headDim: 'i32', groupSize: 'i32', entries: 'i32', v0: 'i32', route: 'i32', expert: 'i32' },
  threads: THREADS,
  code: `
    ${wordCode}
    ${quantiseCode(`
      var<private> value : i32;
      var<private> first : i32;
      fn element(d : i32) -> f32 {
        if (value == 0) { return k[first + d]; }
        return v[uniforms.v0 + first + d];
      }`)}
    fn main() {
      if (uniforms.route >= 0) {
        if (routes[uniforms.route] != uniforms.expert) { return; }
      }
      if (i32(globalId.x) >= 2 * uniforms.heads) { return; }
      value = i32(globalId.x) / uniforms.heads;
      let head = i32(globalId.x) % uniforms.heads;
      let entry = uniforms.entries + 3 * i32(workgroupId.y);
      first = (numbers[entry] * uniforms.heads + head) * uniforms.groupSize * uniforms.headDim;
      let page = numbers[entry + 1];
      let token = numbers[entry + 2];
      ${writeHead}
    }`,
};

/** What the tokens of a page stand for: float32 [k or v, token, heads, headDim]. A thread for each column, [k or v, token] in y. */
export const dequantiseProgram: Program<'chunk', 'heads' | 'headDim' | 'page'> = {
  key: 'int8 page to tokens',
  inputs: ['chunk'],
  uniforms: { heads: 'i32', headDim: 'i32', page: 'i32' },
  threads: THREADS,
  code: `
    ${wordCode}
    fn main() {
      let column = i32(globalId.x);
      let row = i32(workgroupId.y);
      let width = uniforms.heads * uniforms.headDim;
      if (column >= width) { return; }
      let value = row / ${TOKENS_PER_PAGE};
      let token = row % ${TOKENS_PER_PAGE};
      let head = column / uniforms.headDim;
      let d = column % uniforms.headDim;
      let word = chunk[uniforms.page + wordAt(uniforms.heads, value, token, head, d / 4)];
      let scale = bitcast<f32>(chunk[uniforms.page + wordAt(uniforms.heads, value, token, head, wordsOfHead() - 1)]);
      result[row * width + column] = f32((word << u32(24 - 8 * (d % 4))) >> 24u) * scale;
    }`,
};

/**
 * Tokens of a chunk to slots of one of fewer heads, quantised anew: `numbers` has for each the first element of its page and its
 * token there, then those of where it goes. A thread for each [k or v, head], tokens in y.
 */
export const coarsenInt8Program: Program<'source' | 'numbers', 'heads' | 'headDim' | 'groupSize' | 'factor' | 'entries'> = {
  key: 'coarsen int8 tokens',
  inputs: ['source', 'numbers'],
  uniforms: { heads: 'i32', headDim: 'i32', groupSize: 'i32', factor: 'f32', entries: 'i32' },
  threads: THREADS,
  code: `
    ${wordCode}
    ${quantiseCode(`
      var<private> value : i32;
      var<private> fromPage : i32;
      var<private> fromToken : i32;
      var<private> firstHead : i32;
      fn element(d : i32) -> f32 {
        let heads = uniforms.heads * uniforms.groupSize;
        var sum = 0.0;
        for (var head = firstHead; head < firstHead + uniforms.groupSize; head++) {
          let word = source[fromPage + wordAt(heads, value, fromToken, head, d / 4)];
          let scale = bitcast<f32>(source[fromPage + wordAt(heads, value, fromToken, head, wordsOfHead() - 1)]);
          sum += f32((word << u32(24 - 8 * (d % 4))) >> 24u) * scale;
        }
        return sum * uniforms.factor;
      }`)}
    fn main() {
      if (i32(globalId.x) >= 2 * uniforms.heads) { return; }
      value = i32(globalId.x) / uniforms.heads;
      let head = i32(globalId.x) % uniforms.heads;
      let entry = uniforms.entries + 4 * i32(workgroupId.y);
      fromPage = numbers[entry];
      fromToken = numbers[entry + 1];
      firstHead = head * uniforms.groupSize;
      let page = numbers[entry + 2];
      let token = numbers[entry + 3];
      ${writeHead}
    }`,
};

/** Heads of rows become what int8 gives back of them, in place. A thread for each head, rows in y. */
export const roundToInt8Program: Program<never, 'heads' | 'headDim'> = {
  key: 'round to int8',
  inputs: [],
  uniforms: { heads: 'i32', headDim: 'i32' },
  threads: THREADS,
  code: `
    ${quantiseCode(`
      var<private> first : i32;
      fn element(d : i32) -> f32 { return result[first + d]; }`)}
    fn main() {
      if (i32(globalId.x) >= uniforms.heads) { return; }
      first = (i32(workgroupId.y) * uniforms.heads + i32(globalId.x)) * uniforms.headDim;
      let scale = scaleOfHead();
      for (var d = 0; d < uniforms.headDim; d++) { result[first + d] = f32(quantised(element(d), scale)) * scale; }
    }`,
};
