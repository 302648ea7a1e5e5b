// OPT for generation: packed weights, a cache for each sequence, and steps that allocate nothing.
import { ArgumentError, createRuntime } from '@mixsga/backend';
import type {
  DenseLayer, InferenceRuntime, KvWeights, LinearWeights, Resident, Rows, TokenRouter, Vector, WeightType,
} from '@mixsga/backend';
import { CachePool } from '@mixsga/kv-cache';
import type { KvCache } from '@mixsga/kv-cache';
import { createRouter } from '@mixsga/router';
import type { Router } from '@mixsga/router';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
import type { AttentionVariant } from '../attention/variant';
import { parseAttention } from '../attention/index';
import type { OptConfig } from '../config/opt';
import type { CacheOptions, Decoder, StepOutput, Want } from '../generation/decoder';
import { fingerprint } from './fingerprint';
import { layerName, POSITION_OFFSET } from './parameters';
import { refusePostNorm } from './model';

export interface OptDecoderOptions {
  /** Element type of the weights, but for norms, positions and routers, which are float32. Default `f32`. */
  readonly weights?: WeightType;
}

interface Norm {
  readonly gain: Vector;
  readonly bias: Vector;
}

interface Layer {
  readonly attentionNorm: Norm;
  readonly q: LinearWeights;
  /** Null where another layer's keys and values are read. */
  readonly kv: KvWeights | null;
  readonly out: LinearWeights;
  readonly finalNorm: Norm;
  readonly fc1: LinearWeights;
  readonly fc2: LinearWeights;
  readonly router: Router | null;
  readonly tokenRouter: TokenRouter | null;
}

/** Activations of a pass over so many tokens. */
interface Buffers {
  readonly capacity: number;
  readonly x: Rows;
  readonly normed: Rows;
  readonly q: Rows;
  readonly attended: Rows;
  readonly inner: Rows;
}

/** An OPT decoder (pre-layer-norm form) on the active backend. It owns its weights and caches: {@link OptDecoder.dispose}. */
export class OptDecoder implements Decoder {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly attention: string;
  /** What it computes with. */
  readonly runtime: InferenceRuntime;
  readonly #config: OptConfig;
  readonly #variant: AttentionVariant;
  readonly #kvHeads: number;
  readonly #headDim: number;
  readonly #owned: Resident[] = [];
  readonly #tokens: LinearWeights;
  readonly #positions: LinearWeights;
  readonly #layers: Layer[];
  readonly #lastNorm: Norm;
  /** The cache's layer for each layer of the model. */
  readonly #cacheLayer: number[];
  readonly #pool: CachePool;
  #buffers: Buffers | null = null;
  #logits: Rows | null = null;

  /**
   * @param values one array for every parameter, by Hugging Face name, which are copied; router parameters may be missing
   * @throws ArgumentError when a parameter is missing or the attention variant does not fit
   * @throws BackendError when there is no memory for the weights
   */
  static create(config: OptConfig, values: ReadonlyMap<string, Float32Array>, options: OptDecoderOptions = {}): OptDecoder {
    return new OptDecoder(config, values, options.weights ?? 'f32');
  }

  private constructor(config: OptConfig, values: ReadonlyMap<string, Float32Array>, type: WeightType) {
    refusePostNorm(config);
    this.#config = config;
    this.vocabularySize = config.vocab_size;
    this.contextLength = config.max_position_embeddings;
    this.#variant = parseAttention(config.mixsga?.attention ?? 'mha');
    this.attention = this.#variant.spec;
    this.#variant.validate({ kvHeads: config.num_attention_heads, layers: config.num_hidden_layers });
    this.#kvHeads = this.#variant.storedKvHeads(config.num_attention_heads);
    this.#headDim = config.hidden_size / config.num_attention_heads;
    this.runtime = createRuntime();
    const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => layer);
    const storing = layers.filter((layer) => this.#variant.kvSource(layer) === layer);
    this.#cacheLayer = layers.map((layer) => storing.indexOf(this.#variant.kvSource(layer)));
    try {
      this.#tokens = this.#own(this.runtime.packLinear(table(values, 'model.decoder.embed_tokens', config.hidden_size), type));
      this.#positions = this.#own(this.runtime.packLinear(table(values, 'model.decoder.embed_positions', config.hidden_size), 'f32'));
      this.#layers = layers.map((layer) => this.#layer(layer, values, type));
      this.#lastNorm = this.#norm(values, 'model.decoder.final_layer_norm');
    } catch (error) {
      this.#disposeOwned();
      throw error;
    }
    this.#pool = new CachePool(this.runtime, {
      layers: storing.length,
      kvHeads: this.#kvHeads,
      headDim: this.#headDim,
      groupSizes: this.#groupSizes,
      fingerprint: fingerprint(config, values),
    });
  }

  get weightBytes(): number {
    return this.#owned.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  createCache({ eviction, maxTokens = this.contextLength }: CacheOptions = {}): KvCache {
    return this.#pool.create({ eviction, maxTokens });
  }

  restoreCache(bytes: Uint8Array, { eviction, maxTokens }: CacheOptions = {}): Promise<KvCache> {
    return this.#pool.restore(bytes, { eviction, maxTokens });
  }

  async prefill(
    tokens: Int32Array, cache: KvCache, { prompt = tokens.length, want }: { prompt?: number; want: Want },
  ): Promise<StepOutput> {
    const { runtime } = this;
    const rows = tokens.length;
    if (cache.tokensSeen > 0) throw new ArgumentError(`prefill: expected an empty cache, got one of ${cache.tokensSeen} tokens`);
    if (!Number.isInteger(prompt) || prompt < 0 || prompt > rows) {
      throw new ArgumentError(`prefill: expected a prompt of 0 to ${rows} tokens, got ${prompt}`);
    }
    this.#expectTokens('prefill', tokens, 0);
    const buffers = this.#allocate(rows);
    const kvWidth = this.#kvHeads * this.#headDim;
    const [k, v] = [runtime.rows(rows, kvWidth), runtime.rows(rows, kvWidth)];
    const last = runtime.rows(1, this.#config.hidden_size);
    try {
      this.#embed(tokens, Int32Array.from(tokens, (_, position) => position), buffers);
      for (const [index, layer] of this.#layers.entries()) {
        const { normed, q, attended } = buffers;
        const stored = this.#cacheLayer[index]!;
        this.#startLayer(layer, buffers, rows);
        if (layer.kv) {
          runtime.project(layer.kv, normed, k, v, rows);
          const experts = layer.router ? await this.#assign(layer.router, normed, rows, prompt) : new Int32Array(rows);
          if (layer.router) runtime.group(layer.kv, k, v, experts);
          runtime.storeRows(k, v, cache.planRows(stored, experts));
        }
        runtime.causalAttention(q, k, v, attended, rows, {
          ...this.#attention,
          kvHeads: this.#kvHeads,
          ...(cache.observes ? { onProbabilities: (received) => cache.observeRows(stored, received) } : {}),
        });
        this.#finishLayer(layer, buffers, rows);
      }
      runtime.copyRow(buffers.x, rows - 1, last);
      const output = await this.#output(last, last, 1, want);
      cache.commitRows();
      return output;
    } finally {
      for (const resident of [...rowsOf(buffers), k, v, last]) resident.dispose();
    }
  }

  async step(tokens: Int32Array, caches: readonly KvCache[], { want }: { want: Want }): Promise<StepOutput> {
    const { runtime } = this;
    const rows = tokens.length;
    if (rows !== caches.length || new Set(caches).size !== rows) {
      throw new ArgumentError(`step: expected a cache of its own for each of ${rows} tokens, got ${new Set(caches).size}`);
    }
    caches.forEach(({ tokensSeen }, row) => this.#expectTokens('step', tokens.subarray(row, row + 1), tokensSeen));
    const buffers = this.#stepBuffers(rows);
    this.#embed(tokens, Int32Array.from(caches, ({ tokensSeen }) => tokensSeen), buffers);
    let committed = false;
    try {
      const routes = caches.map(() => null) as (ReturnType<InferenceRuntime['route']> | null)[];
      for (const [index, layer] of this.#layers.entries()) {
        const { normed, q, attended } = buffers;
        const stored = this.#cacheLayer[index]!;
        this.#startLayer(layer, buffers, rows);
        caches.forEach((cache, row) => {
          const view = cache.view(stored);
          if (layer.kv) {
            routes[row] = runtime.route(layer.tokenRouter, normed, row);
            runtime.store(layer.kv, normed, row, routes[row], view);
          }
          runtime.attend(q, row, view, routes[row]!, attended, {
            ...this.#attention,
            ...(cache.observes
              ? { onProbabilities: (segment, received) => cache.observe(stored, segment, received) }
              : {}),
          });
        });
        this.#finishLayer(layer, buffers, rows);
      }
      const { experts, ...output } = await this.#output(buffers.x, buffers.normed, rows, want);
      // Routes come layer by layer, in each the rows of the batch; those of a step that failed may come before.
      const own = experts.slice(-rows * this.#layers.filter(({ kv }) => kv).length);
      caches.forEach((cache, row) => cache.commit(own.filter((_, i) => i % rows === row)));
      committed = true;
      return output;
    } finally {
      // What a failed step observed must not count.
      if (!committed) for (const cache of caches) cache.truncate(cache.tokensSeen);
    }
  }

  dispose(): void {
    this.#pool.dispose();
    this.#disposeOwned();
    for (const resident of [...(this.#buffers ? rowsOf(this.#buffers) : []), ...(this.#logits ? [this.#logits] : [])]) resident.dispose();
    this.#buffers = null;
    this.#logits = null;
  }

  get #groupSizes(): readonly number[] {
    return this.#variant.experts?.groupSizes ?? [1];
  }

  get #attention(): { heads: number; scale: number } {
    return { heads: this.#config.num_attention_heads, scale: this.#headDim ** -0.5 };
  }

  #embed(tokens: Int32Array, positions: Int32Array, { x }: Buffers): void {
    this.runtime.embed(this.#tokens, tokens, x);
    this.runtime.addEmbedding(this.#positions, positions.map((position) => position + POSITION_OFFSET), x);
  }

  #startLayer({ attentionNorm, q }: Layer, buffers: Buffers, rows: number): void {
    this.runtime.layerNorm(buffers.x, attentionNorm.gain, attentionNorm.bias, buffers.normed, rows);
    this.runtime.apply(q, buffers.normed, buffers.q, rows);
  }

  #finishLayer({ out, finalNorm, fc1, fc2 }: Layer, { x, normed, attended, inner }: Buffers, rows: number): void {
    this.runtime.apply(out, attended, x, rows, { residual: x });
    this.runtime.layerNorm(x, finalNorm.gain, finalNorm.bias, normed, rows);
    this.runtime.apply(fc1, normed, inner, rows, { activation: 'relu' });
    this.runtime.apply(fc2, inner, x, rows, { residual: x });
  }

  async #output(x: Rows, normed: Rows, rows: number, want: Want): Promise<StepOutput & { experts: Int32Array }> {
    const logits = this.#logitRows(rows);
    const scratch = normed === x ? this.runtime.rows(rows, x.width) : normed;
    try {
      this.runtime.layerNorm(x, this.#lastNorm.gain, this.#lastNorm.bias, scratch, rows);
      this.runtime.apply(this.#tokens, scratch, logits, rows);
      return await this.runtime.read(logits, rows, want);
    } finally {
      if (scratch !== normed) scratch.dispose();
    }
  }

  /** The experts of a prompt by expert choice, and of the tokens after it each by its own arg max. */
  async #assign(router: Router, normed: Rows, rows: number, prompt: number): Promise<Int32Array> {
    const assigned = tf.tidy(() => {
      const scores = router.score(this.runtime.tensor(normed, rows));
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

  #layer(index: number, values: ReadonlyMap<string, Float32Array>, type: WeightType): Layer {
    const { runtime } = this;
    const at = layerName(index);
    const linear = (name: string) => this.#own(runtime.packLinear(dense(values, `${at}.${name}`), type));
    const storing = this.#variant.kvSource(index) === index;
    const router = this.#variant.experts && this.#router(index, values);
    return {
      attentionNorm: this.#norm(values, `${at}.self_attn_layer_norm`),
      q: linear('self_attn.q_proj'),
      kv: storing
        ? this.#own(
            runtime.packKv(
              {
                k: dense(values, `${at}.self_attn.k_proj`),
                v: dense(values, `${at}.self_attn.v_proj`),
                kvHeads: this.#kvHeads,
                groupSizes: this.#groupSizes,
                pooling: this.#variant.experts?.pooling ?? 'mean',
              },
              type,
            ),
          )
        : null,
      out: linear('self_attn.out_proj'),
      finalNorm: this.#norm(values, `${at}.final_layer_norm`),
      fc1: linear('fc1'),
      fc2: linear('fc2'),
      router,
      tokenRouter: router && this.#tokenRouter(router),
    };
  }

  #router(layer: number, values: ReadonlyMap<string, Float32Array>): Router {
    const { hidden_size: hiddenSize, mixsga } = this.#config;
    const prefix = `${layerName(layer)}.self_attn.router`;
    const [weight, bias] = [values.get(`${prefix}.weight`), values.get(`${prefix}.bias`)];
    const router = createRouter(mixsga?.router ?? 'sigmoid', {
      hiddenSize,
      ratios: this.#variant.experts!.ratios,
      seed: mixsga?.routerSeed ?? 0,
      layer,
      ...(weight && bias ? { weights: { weight, bias } } : {}),
    });
    this.#own({ bytes: 0, dispose: () => router.dispose() });
    return router;
  }

  #tokenRouter(router: Router): TokenRouter {
    const decode = (x: Tensor3D) => router.decode(router.score(x));
    if (!router.linear) return { linear: null, decode };
    const { weight, bias } = router.linear;
    const [outputs, inputs] = weight.shape as [number, number];
    const layer = { weight: weight.dataSync() as Float32Array, bias: bias.dataSync() as Float32Array, outputs, inputs };
    return { linear: this.#own(this.runtime.packLinear(layer, 'f32')), decode };
  }

  #norm(values: ReadonlyMap<string, Float32Array>, name: string): Norm {
    const vector = (part: string) => this.#own(this.runtime.vector(take(values, `${name}.${part}`)));
    return { gain: vector('weight'), bias: vector('bias') };
  }

  #own<T extends Resident>(resident: T): T {
    this.#owned.push(resident);
    return resident;
  }

  #disposeOwned(): void {
    for (const resident of this.#owned.splice(0)) resident.dispose();
  }

  #allocate(rows: number): Buffers {
    const { hidden_size: width, ffn_dim: innerWidth } = this.#config;
    const make = (columns: number) => this.runtime.rows(rows, columns);
    return { capacity: rows, x: make(width), normed: make(width), q: make(width), attended: make(width), inner: make(innerWidth) };
  }

  /** The buffers of steps, made anew only for a larger batch. */
  #stepBuffers(rows: number): Buffers {
    if (this.#buffers && this.#buffers.capacity >= rows) return this.#buffers;
    if (this.#buffers) for (const resident of rowsOf(this.#buffers)) resident.dispose();
    return (this.#buffers = this.#allocate(rows));
  }

  #logitRows(rows: number): Rows {
    if (this.#logits && this.#logits.capacity >= rows) return this.#logits;
    this.#logits?.dispose();
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

function rowsOf({ x, normed, q, attended, inner }: Buffers): Rows[] {
  return [x, normed, q, attended, inner];
}

function dense(values: ReadonlyMap<string, Float32Array>, name: string): DenseLayer {
  const bias = take(values, `${name}.bias`);
  const weight = take(values, `${name}.weight`);
  return { weight, bias, outputs: bias.length, inputs: weight.length / bias.length };
}

function table(values: ReadonlyMap<string, Float32Array>, name: string, inputs: number): DenseLayer {
  const weight = take(values, `${name}.weight`);
  return { weight, bias: null, outputs: weight.length / inputs, inputs };
}

function take(values: ReadonlyMap<string, Float32Array>, name: string): Float32Array {
  const array = values.get(name);
  if (!array) throw new ArgumentError(`OptDecoder: expected a parameter ${name}, and there is none`);
  return array;
}
