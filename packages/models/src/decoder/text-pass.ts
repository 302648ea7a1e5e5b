// All layers over a text. Expert choice decides over all tokens in each layer, so that a pass goes layer by layer; inside a layer it
// takes some rows at a time, so that only hidden states, queries, keys and values of one layer are there for all tokens.
import { hostRows, type InferenceRuntime, type Resident, type Rows, type StorePlan } from '@mixsga/backend';
import type { KvCache } from '@mixsga/kv-cache';
import type { Router } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { chunksOf, type Chunk, plansOf, rowsAtOnce } from './chunks';
import { routerScores } from './decisions';
import type { Inspect } from './finite-logits';
import { Pace, type PassOptions } from './pace';
import { allocateBuffers, attentionOf, type Buffers, disposeBuffers, embedTokens, makeAngles, type Parts, windowOf } from './parts';
import type { LayerAngles } from './rotary';

export interface TextPassOptions extends PassOptions {
  /** The experts of a layer's tokens by its router's scores of them, [1, T, E]. */
  readonly decide: (router: Router, scores: Tensor3D) => Promise<Int32Array>;
  /** Takes the keys and values of every layer; empty, and to be committed by the caller. */
  readonly cache?: KvCache;
  /** The token whose keys and values become their mean over all KV heads, in every layer. */
  readonly collapsed?: number | undefined;
  readonly inspect?: Inspect | undefined;
  /** Tokens whose rows are computed at a time. Default: by the cost of a layer. */
  readonly rows?: number | undefined;
  /** Multiply-adds that follow the last layer, for progress. */
  readonly workAfter?: number;
}

/** What the last layer gives, gone afterwards. */
export interface PassResult {
  /** Hidden states of all tokens, [T, D]. */
  readonly x: Rows;
  /** To work in. */
  readonly buffers: Buffers;
  readonly pace: Pace;
}

/**
 * All layers over a text from position 0, in one pass.
 * @param use what to do with the last layer's hidden states
 */
export async function passText<T>(
  parts: Parts, tokens: Int32Array, options: TextPassOptions, use: (result: PassResult) => Promise<T>,
): Promise<T> {
  const chunks = chunksOf(tokens.length, options.rows ?? rowsAtOnce(parts, tokens.length));
  const buffers = allocateBuffers(parts, chunks[0]!.rows, { projects: true });
  let text: TextRows | null = null;
  try {
    text = allocateText(parts, tokens.length, options.cache?.observes ?? false);
    const pass = new TextPass(parts, chunks, { buffers, text, options });
    await pass.run(tokens);
    return await use({ x: text.x, buffers, pace: pass.pace });
  } finally {
    disposeBuffers(buffers);
    for (const rows of Object.values(text ?? {})) (rows as Resident | null)?.dispose();
  }
}

/** Rows of all tokens. */
interface TextRows {
  readonly x: Rows;
  readonly q: Rows;
  readonly k: Rows;
  readonly v: Rows;
  readonly angles: LayerAngles | null;
  /** The attention that each token gets in a layer; null where nobody asks. */
  readonly received: Rows | null;
}

function allocateText(parts: Parts, tokens: number, observed: boolean): TextRows {
  const { runtime, shape, kvHeads } = parts;
  const made: Resident[] = [];
  const make = (width: number): Rows => {
    const rows = runtime.rows(tokens, width);
    made.push(rows);
    return rows;
  };
  try {
    const { hiddenSize, heads, headDim } = shape;
    return {
      x: make(hiddenSize),
      q: make(heads * headDim),
      k: make(kvHeads * headDim),
      v: make(kvHeads * headDim),
      angles: makeAngles(parts, make),
      received: observed ? make(1) : null,
    };
  } catch (error) {
    for (const resident of made) resident.dispose();
    throw error;
  }
}

class TextPass {
  readonly pace: Pace;
  readonly #runtime: InferenceRuntime;
  /** Multiply-adds of a layer for each row, before and after attention. */
  readonly #rowWork: { readonly before: number; readonly after: number };

  constructor(
    private readonly parts: Parts,
    private readonly chunks: readonly Chunk[],
    private readonly own: { readonly buffers: Buffers; readonly text: TextRows; readonly options: TextPassOptions },
  ) {
    const { runtime, shape, layerParameters } = parts;
    const { q, k, v } = own.text;
    const before = Math.min(layerParameters, shape.hiddenSize * (q.width + k.width + v.width));
    this.#runtime = runtime;
    this.#rowWork = { before, after: layerParameters - before };
    const layerWork = chunks.reduce((sum, { rows, end }) => sum + rows * layerParameters + 2 * rows * end * q.width, 0);
    this.pace = new Pace(runtime, shape.layers * layerWork + (own.options.workAfter ?? 0), own.options);
  }

  async run(tokens: Int32Array): Promise<void> {
    const { text: { x }, options: { signal, inspect } } = this.own;
    await this.#embed(tokens);
    await inspect?.(-1, x);
    for (let layer = 0; layer < this.parts.shape.layers; layer++) {
      if (signal) await this.pace.turn();
      const scores = await this.#project(layer);
      try {
        if (this.parts.attention[layer]) await this.#store(layer, scores);
      } finally {
        scores?.dispose();
      }
      await this.#attend(layer);
      await inspect?.(layer, x);
    }
  }

  async #embed(tokens: Int32Array): Promise<void> {
    const { buffers, text } = this.own;
    const { a, angles } = buffers;
    for (const { first, end, rows } of this.chunks) {
      embedTokens(this.parts, tokens.subarray(first, end), Int32Array.from({ length: rows }, (_, i) => first + i), buffers);
      this.#runtime.copyRows(a.x, 0, rows, text.x, first);
      angles?.copyTo(text.angles!, this.#runtime, rows, first);
      await this.pace.after(0);
    }
  }

  /** Queries, keys and values of all tokens. @returns the router's scores, [1, T, E], which the caller disposes; null without a router */
  async #project(layer: number): Promise<Tensor3D | null> {
    const parts: Tensor3D[] = [];
    try {
      for (const chunk of this.chunks) {
        const scores = await this.#projectChunk(layer, chunk);
        if (scores) parts.push(scores);
        await this.pace.after(chunk.rows * this.#rowWork.before);
      }
      return parts.length > 1 ? tf.concat(parts, 1) : (parts.pop() ?? null);
    } finally {
      tf.dispose(parts);
    }
  }

  async #projectChunk(layer: number, { first, rows }: Chunk): Promise<Tensor3D | null> {
    const { transformer, routers, attention } = this.parts;
    const { buffers: { a, projected: kv, angles: ofLayers }, text } = this.own;
    const angles = ofLayers?.ofLayer(layer);
    const runtime = this.#runtime;
    runtime.copyRows(text.x, first, rows, a.x);
    const input = transformer.startLayer(layer, a, rows);
    if (angles) {
      runtime.copyRows(text.angles!.ofLayer(layer), first, rows, angles);
      runtime.rotate(a.q, angles, rows);
    }
    runtime.copyRows(a.q, 0, rows, text.q, first);
    const own = attention[layer];
    if (!own) return null;
    await this.pace.after(0);
    own.project(input, rows, kv!, angles ?? null);
    runtime.copyRows(kv!.k, 0, rows, text.k, first);
    runtime.copyRows(kv!.v, 0, rows, text.v, first);
    const router = routers[layer]?.router;
    return router ? routerScores(runtime, router, await own.routerInput(input, rows, kv!), rows) : null;
  }

  /** Keys and values as the experts of their tokens have them, in the cache too. */
  async #store(layer: number, scores: Tensor3D | null): Promise<void> {
    const { cacheLayer, attention, routers } = this.parts;
    const { text: { k }, options: { cache, collapsed, decide } } = this.own;
    const experts = scores ? await decide(routers[layer]!.router, scores) : new Int32Array(k.capacity);
    const plans = cache?.planRows(cacheLayer[layer]!, experts) ?? null;
    if (!plans && !scores && attention[layer]!.isExact && collapsed === undefined) return;
    for (const chunk of this.chunks) {
      const assigned = scores ? experts.subarray(chunk.first, chunk.end) : null;
      await this.#storeChunk(layer, chunk, assigned, plans && plansOf(plans, chunk));
      await this.pace.after(0);
    }
  }

  /** @param assigned the expert of each token; null without a router */
  async #storeChunk(layer: number, { first, rows }: Chunk, assigned: Int32Array | null, plans: StorePlan[] | null): Promise<void> {
    const { attention, kvHeads, shape } = this.parts;
    const { buffers, text, options: { collapsed } } = this.own;
    const { k, v } = buffers.projected!;
    const runtime = this.#runtime;
    runtime.copyRows(text.k, first, rows, k);
    runtime.copyRows(text.v, first, rows, v);
    const alone = collapsed === undefined || collapsed < first || collapsed >= first + rows ? null : Int32Array.from({ length: rows }, (_, row) => Number(row === collapsed - first));
    await attention[layer]!.through({ k, v }, rows, {
      assigned, plans, ...(alone && { change: ({ k, v }) => runtime.grouped.group({ headDim: shape.headDim, groupSizes: [1, kvHeads], pooling: 'mean' }, k, v, alone) }),
    });
    runtime.copyRows(k, 0, rows, text.k, first);
    runtime.copyRows(v, 0, rows, text.v, first);
  }

  /** From queries, keys and values to the next layer's x. */
  async #attend(layer: number): Promise<void> {
    const { cacheLayer, transformer } = this.parts;
    const { buffers: { a }, text, options: { cache } } = this.own;
    const { received } = text;
    const runtime = this.#runtime;
    if (received) runtime.write(new Float32Array(received.capacity), received);
    for (const chunk of this.chunks) {
      const { first, rows } = chunk;
      await this.#attendChunk(layer, chunk);
      runtime.copyRows(text.x, first, rows, a.x);
      await this.pace.through(transformer.finishLayer(layer, a, rows), rows * this.#rowWork.after);
      runtime.copyRows(a.x, 0, rows, text.x, first);
    }
    if (received) cache!.observeRows(cacheLayer[layer]!, await hostRows(runtime, received, received.capacity));
  }

  /** Some KV heads at a time, as a long text makes even a few rows a lot of work. */
  async #attendChunk(layer: number, { first, end: keys, rows }: Chunk): Promise<void> {
    const { kvHeads, transformer } = this.parts;
    const { buffers: { a }, text: { q, k, v, received } } = this.own;
    const runtime = this.#runtime;
    const options = { ...attentionOf(this.parts), ...windowOf(transformer, layer), kvHeads, keys, ...(received && { received }) };
    const headWork = (2 * rows * keys * q.width) / kvHeads;
    const heads = Math.max(1, Math.floor(runtime.workAtOnce / headWork));
    runtime.copyRows(q, first, rows, a.q);
    for (let head = 0; head < kvHeads; head += heads) {
      const end = Math.min(kvHeads, head + heads);
      runtime.causalAttention(a.q, k, v, a.attended, rows, { ...options, kvRange: { first: head, end } });
      await this.pace.after((end - head) * headWork);
    }
  }
}
