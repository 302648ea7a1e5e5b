// A model of any family for generation: packed weights, a cache for each sequence, and steps that allocate nothing.
import { ArgumentError, createRuntime } from '@mixsga/backend';
import type { InferenceRuntime, Resident, Rows, WeightType } from '@mixsga/backend';
import { CachePool } from '@mixsga/kv-cache';
import type { KvCache } from '@mixsga/kv-cache';
import type { Router } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import { parseAttention } from '../attention/index';
import { storingLayers, type AttentionVariant } from '../attention/variant';
import { modelShape, type ModelShape, type ShapedConfig } from '../config/shape';
import type { CacheOptions, Decoder, StepOutput, Want } from '../generation/decoder';
import type { ParameterSource } from '../io/parameter-source';
import type { Activations, ModelFamily, Transformer } from './family';
import { rotaryAngles } from './rotary';
import type { LayerRouter } from './weight-loader';
import { sourceOf, WeightLoader } from './weight-loader';

export interface DecoderOptions {
  /** Element type of the weights, but for norms, positions and routers, which are float32. Default `f32`. */
  readonly weights?: WeightType;
}

/** Activations of a pass over up to `capacity` tokens. */
interface Buffers {
  readonly capacity: number;
  readonly a: Activations;
  /** Of the tokens' positions; null where the family has no rotary ones. */
  readonly angles: Rows | null;
}

interface Parts {
  readonly runtime: InferenceRuntime;
  readonly shape: ModelShape;
  readonly variant: AttentionVariant;
  readonly transformer: Transformer;
  readonly routers: readonly (LayerRouter | null)[];
  readonly owned: readonly Resident[];
  readonly fingerprint: string;
}

/** A model on the active backend. It owns its weights and caches: {@link CachedDecoder.dispose}. */
export class CachedDecoder implements Decoder {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly attention: string;
  /** What it computes with. */
  readonly runtime: InferenceRuntime;
  readonly #parts: Parts;
  readonly #kvHeads: number;
  /** The cache's layer for each layer of the model. */
  readonly #cacheLayer: number[];
  readonly #pool: CachePool;
  /** What steps need, and the last token of a prompt. */
  #buffers: Buffers | null = null;
  #logits: Rows | null = null;

  /**
   * Reads and packs the weights, one parameter after the other.
   * @param source every parameter by its Hugging Face name, of which those of routers may be missing
   * @throws FileError or ArgumentError when a parameter is missing or of another size; ArgumentError when the attention variant
   *   does not fit; BackendError when there is no memory for the weights
   */
  static async create<Config extends ShapedConfig>(
    family: ModelFamily<Config>, config: Config, source: ParameterSource | ReadonlyMap<string, Float32Array>,
    { weights = 'f32' }: DecoderOptions = {},
  ): Promise<CachedDecoder> {
    const runtime = createRuntime();
    const shape = modelShape(config);
    const variant = parseAttention(shape.attention);
    variant.validate(shape);
    const loader = new WeightLoader(runtime, 'read' in source ? source : sourceOf(source), {
      config, shape, attention: variant, specs: family.parameters(config, variant), type: weights,
    });
    try {
      const transformer = await family.load(config, loader);
      const routers: (LayerRouter | null)[] = [];
      for (let layer = 0; layer < shape.layers; layer++) routers.push(await loader.router(layer, family.layerName(layer)));
      const { owned } = loader;
      return new CachedDecoder({ runtime, shape, variant, transformer, routers, owned, fingerprint: String(loader.fingerprint) });
    } catch (error) {
      for (const resident of loader.owned) resident.dispose();
      throw error;
    }
  }

  private constructor(parts: Parts) {
    const { runtime, shape, variant, fingerprint } = parts;
    this.#parts = parts;
    this.runtime = runtime;
    this.vocabularySize = shape.vocabularySize;
    this.contextLength = shape.contextLength;
    this.attention = variant.spec;
    this.#kvHeads = variant.storedKvHeads(shape.kvHeads);
    const storing = storingLayers(shape.layers, variant);
    this.#cacheLayer = Array.from({ length: shape.layers }, (_, layer) => storing.indexOf(variant.kvSource(layer)));
    this.#pool = new CachePool(runtime, {
      layers: storing.length,
      kvHeads: this.#kvHeads,
      headDim: shape.headDim,
      queryHeads: shape.heads,
      groupSizes: variant.experts?.groupSizes ?? [1],
      fingerprint,
    });
  }

  get weightBytes(): number {
    return this.#parts.owned.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** @throws ArgumentError when there is no such policy, or the sequence could leave a layer's sliding window under it */
  createCache({ eviction, maxTokens = this.contextLength }: CacheOptions = {}): KvCache {
    const { shape, transformer } = this.#parts;
    const windows = Array.from({ length: shape.layers }, (_, layer) => transformer.window(layer) ?? Infinity);
    const narrowest = Math.min(...windows);
    if (eviction !== undefined && eviction !== 'none' && maxTokens > narrowest) {
      throw new ArgumentError(
        `createCache: expected at most ${narrowest} tokens, the model's sliding window, with eviction ${eviction}, got ${maxTokens}; ` +
          'keep all tokens, or set maxTokens',
      );
    }
    return this.#pool.create({ eviction, maxTokens });
  }

  restoreCache(bytes: Uint8Array, { eviction, maxTokens }: CacheOptions = {}): Promise<KvCache> {
    return this.#pool.restore(bytes, { eviction, maxTokens });
  }

  async prefill(
    tokens: Int32Array, cache: KvCache, { prompt = tokens.length, want }: { prompt?: number; want: Want },
  ): Promise<StepOutput> {
    const { runtime, shape, transformer, routers } = this.#parts;
    const rows = tokens.length;
    if (cache.tokensSeen > 0) throw new ArgumentError(`prefill: expected an empty cache, got one of ${cache.tokensSeen} tokens`);
    if (!Number.isInteger(prompt) || prompt < 0 || prompt > rows) {
      throw new ArgumentError(`prefill: expected a prompt of 0 to ${rows} tokens, got ${prompt}`);
    }
    this.#expectTokens('prefill', tokens, 0);
    const last = this.#stepBuffers(1);
    const buffers = this.#allocate(rows);
    const { a, angles } = buffers;
    const kvWidth = this.#kvHeads * shape.headDim;
    const [k, v] = [runtime.rows(rows, kvWidth), runtime.rows(rows, kvWidth)];
    try {
      this.#embed(tokens, Int32Array.from(tokens, (_, position) => position), buffers);
      for (let layer = 0; layer < shape.layers; layer++) {
        const stored = this.#cacheLayer[layer]!;
        const input = transformer.startLayer(layer, a, rows);
        if (angles) runtime.rotate(a.q, angles, rows);
        const kv = transformer.kv[layer]!;
        if (kv) {
          const router = routers[layer]?.router;
          runtime.project(kv, input, k, v, rows);
          if (angles) runtime.rotate(k, angles, rows);
          const experts = router ? await this.#assign(router, input, rows, prompt) : new Int32Array(rows);
          if (router) runtime.group(kv, k, v, experts);
          runtime.storeRows(k, v, cache.planRows(stored, experts));
        }
        runtime.causalAttention(a.q, k, v, a.attended, rows, {
          ...this.#attention,
          kvHeads: this.#kvHeads,
          ...windowOf(transformer, layer),
          ...(cache.observes ? { onProbabilities: (received) => cache.observeRows(stored, received) } : {}),
        });
        transformer.finishLayer(layer, a, rows);
      }
      runtime.copyRows(a.x, rows - 1, 1, last.a.x);
      const { experts: _, ...output } = await this.#output(last, 1, want);
      cache.commitRows();
      return output;
    } finally {
      for (const resident of [...rowsOf(buffers), k, v]) resident.dispose();
    }
  }

  async step(tokens: Int32Array, caches: readonly KvCache[], { want }: { want: Want }): Promise<StepOutput> {
    const { runtime, shape, transformer, routers } = this.#parts;
    const rows = tokens.length;
    if (rows !== caches.length || new Set(caches).size !== rows) {
      throw new ArgumentError(`step: expected a cache of its own for each of ${rows} tokens, got ${new Set(caches).size}`);
    }
    caches.forEach(({ tokensSeen }, row) => this.#expectTokens('step', tokens.subarray(row, row + 1), tokensSeen));
    const buffers = this.#stepBuffers(rows);
    const { a, angles } = buffers;
    let state: 'running' | 'committed' | 'failed' = 'running';
    try {
      this.#embed(tokens, Int32Array.from(caches, ({ tokensSeen }) => tokensSeen), buffers);
      const routes = caches.map(() => null) as (ReturnType<InferenceRuntime['route']> | null)[];
      for (let layer = 0; layer < shape.layers; layer++) {
        const stored = this.#cacheLayer[layer]!;
        const input = transformer.startLayer(layer, a, rows);
        if (angles) runtime.rotate(a.q, angles, rows);
        const kv = transformer.kv[layer]!;
        caches.forEach((cache, row) => {
          const view = cache.view(stored, windowOf(transformer, layer));
          if (kv) {
            routes[row] = runtime.route(routers[layer]?.tokens ?? null, input, row);
            runtime.store(kv, input, row, routes[row], view, angles ?? undefined);
          }
          runtime.attend(a.q, row, view, routes[row]!, a.attended, {
            ...this.#attention,
            ...(cache.observes
              ? {
                  // They may come as late as the next read, when this step has failed.
                  onProbabilities: (segment, received) => {
                    if (state === 'running') cache.observe(stored, segment, received);
                  },
                }
              : {}),
          });
        });
        transformer.finishLayer(layer, a, rows);
      }
      const { experts, ...output } = await this.#output(buffers, rows, want);
      // Routes come layer by layer, in each the rows of the batch; those of a step that failed may come before.
      const own = experts.slice(-rows * transformer.kv.filter((kv) => kv).length);
      caches.forEach((cache, row) => cache.commit(own.filter((_, i) => i % rows === row)));
      state = 'committed';
      return output;
    } finally {
      if (state === 'running') {
        state = 'failed';
        // What a failed step observed must not count.
        for (const cache of caches) cache.truncate(cache.tokensSeen);
      }
    }
  }

  dispose(): void {
    this.#pool.dispose();
    for (const resident of this.#parts.owned) resident.dispose();
    for (const resident of [...(this.#buffers ? rowsOf(this.#buffers) : []), ...(this.#logits ? [this.#logits] : [])]) resident.dispose();
    this.#buffers = null;
    this.#logits = null;
  }

  get #attention(): { heads: number; scale: number; softCap?: number } {
    const { shape, transformer } = this.#parts;
    const { scale, softCap } = transformer;
    return softCap === undefined ? { heads: shape.heads, scale } : { heads: shape.heads, scale, softCap };
  }

  #embed(tokens: Int32Array, positions: Int32Array, { a, angles }: Buffers): void {
    const { runtime, transformer } = this.#parts;
    transformer.embed(tokens, positions, a);
    if (angles) runtime.write(rotaryAngles(transformer.frequencies!, positions), angles);
  }

  async #output({ a }: Buffers, rows: number, want: Want): Promise<StepOutput & { experts: Int32Array }> {
    const logits = this.#logitRows(rows);
    this.#parts.transformer.logits(a, logits, rows);
    return this.runtime.read(logits, rows, want);
  }

  /** The experts of a prompt by expert choice, and of the tokens after it each by its own arg max. */
  async #assign(router: Router, x: Rows, rows: number, prompt: number): Promise<Int32Array> {
    const assigned = tf.tidy(() => {
      const scores = router.score(this.runtime.tensor(x, rows));
      const part = (from: number, count: number) => tf.slice(scores, [0, from, 0], [1, count, router.experts]) as Tensor3D;
      const parts = [
        ...(prompt > 0 ? [router.assign(part(0, prompt))] : []),
        ...(prompt < rows ? [router.decode(part(prompt, rows - prompt))] : []),
      ];
      return tf.concat(parts, 1) as Tensor2D;
    });
    try {
      return Int32Array.from(await assigned.data());
    } finally {
      assigned.dispose();
    }
  }

  #allocate(rows: number): Buffers {
    const { runtime, shape, transformer } = this.#parts;
    const queries = shape.heads * shape.headDim;
    const widths: Record<string, number> = { ...transformer.buffers, x: shape.hiddenSize, q: queries, attended: queries };
    const made: Rows[] = [];
    const make = (width: number) => {
      made.push(runtime.rows(rows, width));
      return made.at(-1)!;
    };
    try {
      return {
        capacity: rows,
        a: Object.fromEntries(Object.entries(widths).map(([name, width]) => [name, make(width)])) as unknown as Activations,
        angles: transformer.frequencies ? make(shape.headDim) : null,
      };
    } catch (error) {
      for (const resident of made) resident.dispose();
      throw error;
    }
  }

  /** The buffers of steps, made anew only for a larger batch. */
  #stepBuffers(rows: number): Buffers {
    if (this.#buffers && this.#buffers.capacity >= rows) return this.#buffers;
    if (this.#buffers) for (const resident of rowsOf(this.#buffers)) resident.dispose();
    this.#buffers = null;
    return (this.#buffers = this.#allocate(rows));
  }

  #logitRows(rows: number): Rows {
    if (this.#logits && this.#logits.capacity >= rows) return this.#logits;
    this.#logits?.dispose();
    this.#logits = null;
    return (this.#logits = this.runtime.rows(rows, this.vocabularySize));
  }

  #expectTokens(who: string, tokens: Int32Array, before: number): void {
    if (tokens.length === 0) throw new ArgumentError(`${who}: expected at least one token, got none`);
    if (before + tokens.length > this.contextLength) {
      throw new ArgumentError(
        `${who}: expected at most ${this.contextLength} tokens in a sequence, got ${before + tokens.length}; shorten the prompt or ask for fewer`,
      );
    }
    const misfit = tokens.findIndex((token) => token < 0 || token >= this.vocabularySize);
    if (misfit >= 0) {
      throw new ArgumentError(
        `${who}: expected token ids from 0 to ${this.vocabularySize - 1}, got ${tokens[misfit]} at ${before + misfit}; is it this model's tokenizer?`,
      );
    }
  }
}

function windowOf(transformer: Transformer, layer: number): { window?: number } {
  const window = transformer.window(layer);
  return window === null ? {} : { window };
}

function rowsOf({ a, angles }: Buffers): Rows[] {
  return [...Object.values(a), ...(angles ? [angles] : [])];
}
