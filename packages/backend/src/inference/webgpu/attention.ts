// Attention of one token over the pages of its segments, read once for up to eight query heads that share a stored head: a
// partial softmax for each tile of two pages, then their combination.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Program } from '../../webgpu/device';
import type { KvType } from '../kv-type';
import type { Segment, Slot } from '../pages';
import { TOKENS_PER_PAGE } from '../pages';
import { headElements } from './int8-pages';
import type { WebgpuPages } from './pages';
import { tanhCode } from './products';
import { remember } from './remember';

/** Threads of a workgroup, each with a token: that of two pages. */
const TILE = 2 * TOKENS_PER_PAGE;
/** What remains of the 8 storage buffers that a stage can have. */
const CHUNKS = 4;
const MOST_HEADS = 8;
/** Below any score. */
const LOWEST = '-1e30';

/** The token that a step computes, if it is one of a segment's. */
export interface Pending {
  readonly slot: Slot;
  /** False where only the device knows whether the token is the segment's. */
  readonly certain: boolean;
}

/** Pages of a segment for one dispatch. */
export interface Part {
  readonly chunks: Tensor[];
  /** For each page, then for a filling one where they are odd: [4·index + chunk, span, place of its first token], see `entryAt`. */
  readonly entries: number[];
}

/** Tokens of a page: `count` from `start` on, of which the first `hidden` are not seen, and perhaps the pending one. */
interface Span {
  readonly page: number;
  readonly start: number;
  count: number;
  readonly hidden: number;
  perhaps: 0 | 1;
  readonly place: number;
}

/**
 * Divides a segment into parts of at most {@link CHUNKS} chunks.
 * @param first the place of the segment's first token in a list of all tokens
 * @param keepHidden whether pages of which nothing is seen are there too, for their probabilities of 0
 */
export function partsOf(
  { store, pages, tokens, from = 0 }: Segment, pending: Pending | null, first: number, keepHidden: boolean,
): Part[] {
  const spans = Array.from({ length: Math.ceil(tokens / TOKENS_PER_PAGE) }, (_, i): Span => {
    const done = i * TOKENS_PER_PAGE;
    const count = Math.min(TOKENS_PER_PAGE, tokens - done);
    return { page: pages[i]!, start: 0, count, hidden: Math.min(count, Math.max(0, from - done)), perhaps: 0, place: first + done };
  });
  if (pending) {
    const { page, offset } = pending.slot;
    let span = spans.at(-1);
    if (span?.page !== page || span.count !== offset) {
      spans.push((span = { page, start: offset, count: 0, hidden: 0, perhaps: 0, place: first + tokens }));
    }
    if (pending.certain) span.count++;
    else span.perhaps = 1;
  }
  const parts: Part[] = [];
  const found = new Map<Tensor, { part: Part; number: number }>();
  for (const { page, start, count, hidden, perhaps, place } of spans) {
    if (hidden === count + perhaps && !keepHidden) continue;
    const { chunk, index } = (store as WebgpuPages).place(page);
    let at = found.get(chunk);
    if (!at) {
      if (!parts.length || parts.at(-1)!.chunks.length === CHUNKS) parts.push({ chunks: [], entries: [] });
      const part = parts.at(-1)!;
      found.set(chunk, (at = { part, number: part.chunks.push(chunk) - 1 }));
    }
    at.part.entries.push(4 * index + at.number, start | (count << 8) | (perhaps << 16) | (hidden << 24), place);
  }
  for (const { entries } of parts) if (entries.length % 6 !== 0) entries.push(0, 0, 0);
  return parts;
}

export function tilesOf({ entries }: Part): number {
  return entries.length / 6;
}

/** Floats that a tile gives for each query head: Σ p·v, the largest score, and Σ p. */
export function partialSize(headDim: number): number {
  return headDim + 2;
}

type Chunk = 'chunk0' | 'chunk1' | 'chunk2' | 'chunk3';

type AttendProgram = Program<
  'q' | 'numbers' | 'routes' | Chunk,
  'q0' | 'scale' | 'softCap' | 'heads' | 'stored' | 'entries' | 'segment' | 'route' | 'tile' | 'scores' | 'count'
>;

export interface AttendVariant {
  readonly type: KvType;
  readonly headDim: number;
  /** Query heads of a workgroup; see {@link headsOfWorkgroup}. */
  readonly heads: number;
  /** Chunks bound, those of a {@link Part} or more. */
  readonly chunks: 1 | 2 | 4;
}

/** Of the query heads that share a stored head: a number such that workgroups of as many do all of them. */
export function headsOfWorkgroup(groupSize: number): number {
  let heads = Math.min(groupSize, MOST_HEADS);
  while (groupSize % heads !== 0) heads--;
  return heads;
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const each = (count: number, line: (i: number) => string) => range(count).map(line).join('\n');

/** How the program reads a head's keys, at step d of a token, and values, of dimension t + c of token i. */
const accessTo: { readonly [Type in KvType]: (elements: number) => Access } = {
  f32: (elements) => ({
    key: `let k = stored(mine.chunk, at + d * ${TOKENS_PER_PAGE});`,
    product: (query) => `k * query[${query} + d]`,
    keyScale: () => '',
    value: (c) => `stored(span.chunk, at + i * ${elements} + t + ${c})`,
  }),
  // Four dimensions in a word, after the last of them the scale.
  int8: (elements) => ({
    key: `let k = vec4<f32>((vec4<i32>(stored(mine.chunk, at + d * ${TOKENS_PER_PAGE})) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));`,
    product: (query) => {
      const element = (j: number) => `query[${query + j} + 4 * d]`;
      return `dot(k, vec4<f32>(${range(4).map(element).join(', ')}))`;
    },
    keyScale: (heads) => `
      let keyScale = bitcast<f32>(stored(mine.chunk, at + ${(elements - 1) * TOKENS_PER_PAGE}));
      ${each(heads, (u) => `score_${u} *= keyScale;`)}`,
    value: (c) => `
      f32((stored(span.chunk, at + i * ${elements} + (t + ${c}) / 4) << u32(24 - 8 * ((t + ${c}) % 4))) >> 24u)
        * bitcast<f32>(stored(span.chunk, at + (i + 1) * ${elements} - 1))`,
  }),
};

interface Access {
  readonly key: string;
  /** @param query where the query of a head begins */
  product(query: number): string;
  keyScale(heads: number): string;
  value(c: number): string;
}

/**
 * Tiles of a part; workgroups in x for the query heads, in y for the tiles. From `scores` on, unless it is −1, the result gets
 * the score of each [head, token], of `count` tokens. A soft cap of 0 is none.
 */
export const attendProgram = remember(({ type, headDim, heads, chunks }: AttendVariant): AttendProgram => {
  const columns = Math.ceil(headDim / TILE);
  const elements = headElements(type, headDim);
  /** Numbers of a query that are multiplied at a time, and those of a head with what fills it up. */
  const together = type === 'f32' ? 1 : 4;
  const steps = Math.ceil(headDim / together);
  const width = steps * together;
  const access = accessTo[type](elements);
  const sums = (line: (u: number, c: number) => string) => each(heads, (u) => each(columns, (c) => line(u, c)));
  return {
    key: `attend ${type} ${headDim} ${heads} ${chunks}`,
    inputs: ['q', 'numbers', 'routes', ...range(chunks).map((c) => `chunk${c}` as Chunk)],
    uniforms: {
      q0: 'i32', scale: 'f32', softCap: 'f32', heads: 'i32', stored: 'i32', entries: 'i32', segment: 'i32', route: 'i32', tile: 'i32',
      scores: 'i32', count: 'i32',
    },
    threads: TILE,
    code: `
      ${tanhCode}
      struct Span { chunk : i32, first : i32, start : i32, seen : i32, end : i32, limit : i32, place : i32 };
      var<workgroup> query : array<f32, ${heads * width}>;
      var<workgroup> shares : array<f32, ${heads * TILE}>;

      fn entryAt(n : i32) -> Span {
        let at = uniforms.entries + 3 * n;
        let span = numbers[at + 1];
        let start = span & 255;
        let end = start + ((span >> 8u) & 255);
        // The pending token follows, if the segment's expert is the token's.
        let limit = end + ((span >> 16u) & 255);
        var present = end;
        if (limit > end) {
          if (routes[uniforms.route] == uniforms.segment) { present = limit; }
        }
        let first = (numbers[at] >> 2u) * ${2 * TOKENS_PER_PAGE * elements} * uniforms.stored;
        return Span(numbers[at] & 3, first, start, start + (span >> 24u), present, limit, numbers[at + 2]);
      }

      fn stored(chunk : i32, at : i32) -> ${type === 'f32' ? 'f32' : 'i32'} {
        switch (chunk) {
          ${each(chunks - 1, (c) => `case ${c + 1}: { return chunk${c + 1}[at]; }`)}
          default: { return chunk0[at]; }
        }
      }

      fn main() {
        let t = i32(localId.x);
        let head0 = i32(workgroupId.x) * ${heads};
        let tile = i32(workgroupId.y);
        let kvHead = head0 / (uniforms.heads / uniforms.stored);
        for (var i = t; i < ${heads * width}; i += ${TILE}) {
          let d = i % ${width};
          query[i] = select(0.0, q[uniforms.q0 + (head0 + i / ${width}) * ${headDim} + d] * uniforms.scale, d < ${headDim});
        }
        workgroupBarrier();

        let mine = entryAt(2 * tile + t / ${TOKENS_PER_PAGE});
        let token = t % ${TOKENS_PER_PAGE};
        let present = token >= mine.seen && token < mine.end;
        ${each(heads, (u) => `var score_${u} = 0.0;`)}
        if (present) {
          let at = mine.first + kvHead * ${elements * TOKENS_PER_PAGE} + token;
          for (var d = 0; d < ${steps}; d++) {
            ${access.key}
            ${each(heads, (u) => `score_${u} += ${access.product(u * width)};`)}
          }
          ${access.keyScale(heads)}
          if (uniforms.softCap > 0.0) {
            ${each(heads, (u) => `score_${u} = uniforms.softCap * exactTanh(score_${u} / uniforms.softCap);`)}
          }
        }
        ${each(heads, (u) => `shares[${u * TILE} + t] = select(${LOWEST}, score_${u}, present);`)}
        if (uniforms.scores >= 0 && token >= mine.start && token < mine.limit) {
          let at = uniforms.scores + head0 * uniforms.count + mine.place + token - mine.start;
          ${each(heads, (u) => `result[at + ${u} * uniforms.count] = shares[${u * TILE} + t];`)}
        }
        workgroupBarrier();

        ${each(heads, (u) => `var largest_${u} = ${LOWEST};`)}
        for (var i = 0; i < ${TILE}; i++) {
          ${each(heads, (u) => `largest_${u} = max(largest_${u}, shares[${u * TILE} + i]);`)}
        }
        workgroupBarrier();
        ${each(heads, (u) => `shares[${u * TILE} + t] = select(0.0, exp(score_${u} - largest_${u}), present);`)}
        workgroupBarrier();

        ${each(heads, (u) => `var sum_${u} = 0.0;`)}
        ${sums((u, c) => `var out_${u}_${c} = 0.0;`)}
        for (var page = 0; page < 2; page++) {
          let span = entryAt(2 * tile + page);
          let at = span.first + (uniforms.stored + kvHead) * ${elements * TOKENS_PER_PAGE};
          for (var i = span.seen; i < span.end; i++) {
            ${each(columns, (c) => `
            var v_${c} = 0.0;
            if (t + ${c * TILE} < ${headDim}) { v_${c} = ${access.value(c * TILE)}; }`)}
            ${each(heads, (u) => `let share_${u} = shares[${u * TILE} + page * ${TOKENS_PER_PAGE} + i]; sum_${u} += share_${u};`)}
            ${sums((u, c) => `out_${u}_${c} += share_${u} * v_${c};`)}
          }
        }
        let part = ((uniforms.tile + tile) * uniforms.heads + head0) * ${partialSize(headDim)};
        ${sums((u, c) => `
        if (t + ${c * TILE} < ${headDim}) { result[part + ${u * partialSize(headDim) + c * TILE} + t] = out_${u}_${c}; }`)}
        if (t == 0) {
          ${each(heads, (u) => `
          result[part + ${u * partialSize(headDim) + headDim}] = largest_${u};
          result[part + ${u * partialSize(headDim) + headDim + 1}] = sum_${u};`)}
        }
      }`,
  };
});

type CombineUniforms = 'tiles' | 'heads' | 'headDim';
const combineUniforms = { tiles: 'i32', heads: 'i32', headDim: 'i32' } as const;

/** Finds the largest score of a head and the sum of exp(score − largest) over all tiles. */
const combineTiles = `
  let size = uniforms.headDim + 2;
  let last = uniforms.tiles * uniforms.heads * size;
  let step = uniforms.heads * size;
  var largest = ${LOWEST};
  for (var at = head * size; at < last; at += step) { largest = max(largest, partials[at + uniforms.headDim]); }
  var sum = 0.0;
  for (var at = head * size; at < last; at += step) {
    sum += partials[at + uniforms.headDim + 1] * exp(partials[at + uniforms.headDim] - largest);
  }`;

/** The output of a token from its tiles; workgroups in x for the heads, in y for 64 dimensions each. */
export const combineProgram: Program<'partials', CombineUniforms | 'to'> = {
  key: 'combine tiles',
  inputs: ['partials'],
  uniforms: { ...combineUniforms, to: 'i32' },
  threads: 64,
  code: `
    fn main() {
      let head = i32(workgroupId.x);
      let d = i32(workgroupId.y) * 64 + i32(localId.x);
      if (d >= uniforms.headDim) { return; }
      ${combineTiles}
      var out = 0.0;
      for (var at = head * size; at < last; at += step) {
        out += partials[at + d] * exp(partials[at + uniforms.headDim] - largest);
      }
      result[uniforms.to + head * uniforms.headDim + d] = select(0.0, out / sum, sum > 0.0);
    }`,
};

/** For each head its largest score and the sum of exp(score − largest). */
export const sumProgram: Program<'partials', CombineUniforms> = {
  key: 'sums of tiles',
  inputs: ['partials'],
  uniforms: combineUniforms,
  threads: 64,
  code: `
    fn main() {
      let head = i32(globalId.x);
      if (head >= uniforms.heads) { return; }
      ${combineTiles}
      result[2 * head] = largest;
      result[2 * head + 1] = sum;
    }`,
};

/** For each token the sum of its probabilities over the heads. */
export const probabilityProgram: Program<'partials' | 'sums', 'scores' | 'count' | 'heads' | 'to'> = {
  key: 'probabilities',
  inputs: ['partials', 'sums'],
  uniforms: { scores: 'i32', count: 'i32', heads: 'i32', to: 'i32' },
  threads: 64,
  code: `
    fn main() {
      let token = i32(globalId.x);
      if (token >= uniforms.count) { return; }
      var probability = 0.0;
      for (var head = 0; head < uniforms.heads; head++) {
        let score = partials[uniforms.scores + head * uniforms.count + token];
        probability += exp(score - sums[2 * head]) / sums[2 * head + 1];
      }
      result[uniforms.to + token] = probability;
    }`,
};
