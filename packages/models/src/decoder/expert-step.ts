// A step whose experts are of any type: every cached token is read back as attention sees it.
import { type LayerView, type Rows, type Segment, type Slot, TOKENS_PER_PAGE } from '@mixsga/backend';
import type { Expert } from '@mixsga/experts';
import type { Router } from '@mixsga/router';
import { assignExperts, routerScores } from './decisions';
import { compressed, expanded, hostRows } from './expert-rows';
import { attentionOf, type Buffers, type Parts } from './parts';
import { routerInput } from './router-input';

/** Takes for a segment the attention probabilities of its tokens, summed over the query heads. */
type Observer = (segment: number, probabilities: Float32Array) => void;

/** The layers of one step over `rows` sequences, by the meaning of the runtime's `route`, `store` and `attend`. */
export class ExpertStep {
  /** Expert of each token so far, layer by layer, in each row by row. */
  readonly experts: number[] = [];
  /** Of the last layer that has keys and values: its number, and the expert of each row. */
  #source: { layer: number; assigned: Int32Array } = { layer: 0, assigned: new Int32Array(0) };

  constructor(
    private readonly parts: Parts,
    private readonly buffers: Buffers,
    private readonly rows: number,
  ) {}

  /**
   * Stores the tokens in a layer that has keys and values of its own, and attends to them and what is cached.
   * @param input what keys, values and the router are computed from
   * @param views of each row's cache
   * @param observers of each row, where its cache wants one
   */
  async attend(layer: number, input: Rows, views: readonly LayerView[], observers: readonly (Observer | false)[]): Promise<void> {
    if (this.parts.transformer.kv[layer]) await this.#store(layer, input, views);
    const { runtime } = this.parts;
    const { q, attended } = this.buffers.a;
    const queries = await hostRows(runtime, q, this.rows);
    const width = queries.length / this.rows;
    const out = new Float32Array(queries.length);
    for (const [row, { segments, slots }] of views.entries()) {
      const seen: Seen[] = [];
      for (const [index, segment] of segments.entries()) {
        const pending = this.#source.assigned[row] === index ? slots[index]! : null;
        const experts = this.parts.experts[this.#source.layer]!;
        // Segments beyond the experts have what a KV budget coarsened: the first numbers of the first expert's.
        seen.push(await readBack(experts[index] ?? experts[0]!, segment, pending));
      }
      const { result, probabilities } = attendSeen(queries.subarray(row * width, (row + 1) * width), seen, this.parts);
      out.set(result, row * width);
      const observer = observers[row];
      if (observer) probabilities.forEach((own, segment) => observer(segment, own));
    }
    runtime.write(out, attended);
  }

  async #assigned(router: Router, input: Rows): Promise<Int32Array> {
    const scores = routerScores(this.parts.runtime, router, input, this.rows);
    try {
      return await assignExperts(router, scores, { rows: this.rows, prompt: 0 });
    } finally {
      scores.dispose();
    }
  }

  async #store(layer: number, input: Rows, views: readonly LayerView[]): Promise<void> {
    const { runtime, transformer, routers } = this.parts;
    const { kv } = this.buffers;
    const angles = this.buffers.angles?.ofLayer(layer);
    const { k, v } = kv!;
    const experts = this.parts.experts[layer]!;
    const router = routers[layer]?.router;
    runtime.project(transformer.kv[layer]!, input, k, v, this.rows);
    transformer.normKeys?.(layer, k, this.rows);
    if (angles) runtime.rotate(k, angles, this.rows);
    const assigned = router ? await this.#assigned(router, await routerInput(this.parts, layer, input, kv!, this.rows)) : new Int32Array(this.rows);
    const [keys, values] = await Promise.all([k, v].map((x) => hostRows(runtime, x, this.rows))) as [Float32Array, Float32Array];
    for (const [row, expert] of assigned.entries()) {
      const own = (x: Float32Array) => x.subarray((row * x.length) / this.rows, ((row + 1) * x.length) / this.rows);
      const { page, offset } = views[row]!.slots[expert]!;
      const stored = await compressed(experts[expert]!, own(keys), own(values));
      views[row]!.segments[expert]!.store.write(page, offset, stored, new Float32Array(0));
    }
    this.#source = { layer, assigned };
    this.experts.push(...assigned);
  }
}

/** Keys and values of the tokens of a segment, [tokens, kvHeads·headDim] each, of which those before `from` are hidden. */
interface Seen {
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly tokens: number;
  readonly from: number;
}

async function readBack(expert: Expert, { store, pages, tokens, from = 0 }: Segment, pending: Slot | null): Promise<Seen> {
  const all = tokens + (pending ? 1 : 0);
  const width = expert.stored.heads * expert.stored.headDim;
  const stored = new Float32Array(all * width);
  for (let first = 0; first < all; first += TOKENS_PER_PAGE) {
    const { k } = await store.read(pages[first / TOKENS_PER_PAGE]!, Math.min(TOKENS_PER_PAGE, all - first));
    // Vectors that were cut short end in zeros.
    for (let vector = 0; vector * store.headDim < k.length; vector++) {
      stored.set(k.subarray(vector * store.headDim, (vector + 1) * store.headDim), first * width + vector * expert.stored.headDim);
    }
  }
  return { ...(all === 0 ? { k: stored, v: stored } : await expanded(expert, stored)), tokens: all, from };
}

function attendSeen(q: Float32Array, seen: readonly Seen[], parts: Parts): { result: Float32Array; probabilities: Float32Array[] } {
  const { heads, scale, softCap } = attentionOf(parts);
  const { kvHeads, shape: { headDim } } = parts;
  const result = new Float32Array(q.length);
  const probabilities = seen.map(({ tokens }) => new Float32Array(tokens));
  for (let head = 0; head < heads; head++) {
    const query = q.subarray(head * headDim, (head + 1) * headDim);
    const at = Math.floor((head * kvHeads) / heads) * headDim;
    const headOf = (x: Float32Array, token: number) => x.subarray(token * kvHeads * headDim + at, token * kvHeads * headDim + at + headDim);
    const scores = seen.map(({ k, tokens, from }) => Float64Array.from({ length: tokens }, (_, token) => {
      if (token < from) return -Infinity;
      const score = scale * headOf(k, token).reduce((sum, value, d) => sum + value * query[d]!, 0);
      return softCap === undefined ? score : softCap * Math.tanh(score / softCap);
    }));
    const largest = scores.reduce((most, own) => own.reduce((a, b) => Math.max(a, b), most), -Infinity);
    const weights = scores.map((own) => own.map((score) => Math.exp(score - largest)));
    const sum = weights.reduce((total, own) => own.reduce((a, b) => a + b, total), 0);
    const mean = new Float64Array(headDim);
    weights.forEach((own, segment) => own.forEach((weight, token) => {
      if (weight === 0) return;
      probabilities[segment]![token]! += weight / sum;
      headOf(seen[segment]!.v, token).forEach((value, d) => (mean[d]! += (weight / sum) * value));
    }));
    result.set(mean, head * headDim);
  }
  return { result, probabilities };
}
