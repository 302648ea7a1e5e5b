// A model of any family on a backend: packed weights, a cache for each sequence, steps that allocate nothing, and likelihoods.
import { ArgumentError, createLayerAttention, createRuntime, expectBackend, expectOptions, Lifetime } from '@mixsga/backend';
import type { InferenceRuntime, LayerAttention, OptionNames, KvType, Routing, RowLikelihood, Rows, WeightType } from '@mixsga/backend';
import { CACHE_SPEC, CachePool } from '@mixsga/kv-cache';
import type { KvCache } from '@mixsga/kv-cache';
import { parseAttention } from '../attention/index';
import { expectKvType, formatLayout, storingLayers } from '../attention/variant';
import { modelShape, type ModelConfig } from '../config/shape';
import type { CacheOptions, Decoder, PrefillOptions, StepOutput, Want } from '../generation/decoder';
import type { ParameterSource } from '../io/parameter-source';
import { assignExperts, layerDecisions, type LayerDecisions, type TextRows } from './decisions';
import { expectInWindow, expectPrompt, expectTargets, expectTokens } from './expect-input';
import type { ModelFamily } from '../families/family';
import { expectDistributions, expectLikelihoods, explained, type Inspect } from './finite-logits';
import { gatherLikelihood, logitWork } from './likelihood';
import { allocateBuffers, disposeBuffers, type Buffers, type Parts } from './parts';
import type { PassOptions } from './pace';
import { decodeStep, kept } from './step';
import { passText, type TextPassOptions } from './text-pass';
import type { LayerRouter } from './weight-loader';
import { sourceOf, WeightLoader } from './weight-loader';

export interface DecoderOptions {
  /** Element type of the weights, but for norms, positions and routers, which are float32. Default `f32`. */
  readonly weights?: WeightType;
  /**
   * Element type of cached keys and values. With `int8` each stored head of a token takes 8 bits a number and a float32 scale, keys
   * and values apart. Passes over a text round theirs alike, so that likelihoods and prompts are those of single steps.
   * Default `f32`.
   */
  readonly kv?: KvType;
}

type Decide = TextPassOptions['decide'];

export interface TextOptions extends PassOptions, ChunkOptions {
  readonly routing: Routing;
}

interface ChunkOptions {
  /** Tokens whose rows are computed at a time, 2 or more. Default: as many as take a good part of a second at most. */
  readonly rows?: number;
}

export interface RoutingOptions extends TextOptions {
  /** Tokens that `prefill` routes together; each one after them takes its own arg max, as in generation. Default: all. */
  readonly promptTokens?: number;
}

export interface LikelihoodOptions extends TextOptions {
  /** The token whose keys and values become their mean over all KV heads that are stored, in every layer. */
  readonly collapsed?: number;
}

export const DECODER_OPTIONS: OptionNames<DecoderOptions> = { weights: true, kv: true };
export const TEXT_OPTIONS: OptionNames<TextOptions> = { routing: true, signal: true, onProgress: true, rows: true };
export const LIKELIHOOD_OPTIONS: OptionNames<LikelihoodOptions> = { ...TEXT_OPTIONS, collapsed: true };
const ROUTING: OptionNames<RoutingOptions> = { ...TEXT_OPTIONS, promptTokens: true };
const CACHE: OptionNames<CacheOptions> = { cache: CACHE_SPEC, maxTokens: true };
const PREFILL: OptionNames<PrefillOptions & ChunkOptions> = { promptTokens: true, want: true, signal: true, onProgress: true, rows: true };

/** A model on the active backend. It owns its weights and caches: {@link CachedDecoder.dispose}. */
export class CachedDecoder implements Decoder {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly attention: string;
  /** Element type of cached keys and values. */
  readonly kv: KvType;
  /** What it computes with. */
  readonly runtime: InferenceRuntime;
  readonly #parts: Parts;
  readonly #pool: CachePool;
  /** What steps need, and the last token of a prompt. */
  #buffers: Buffers | null = null;
  #logits: Rows | null = null;
  readonly #lifetime = new Lifetime('decoder', 'load the model again');

  /**
   * Reads and packs the weights, one parameter after the other.
   * @param source every parameter by its Hugging Face name, of which those of routers may be missing
   * @throws FileError or ArgumentError when a parameter is missing, of another size or not finite; ArgumentError when the attention variant
   *   does not fit; BackendError when there is no memory for the weights
   */
  static async create<Config extends ModelConfig>(
    family: ModelFamily<Config>, config: Config, source: ParameterSource | ReadonlyMap<string, Float32Array>,
    options: DecoderOptions = {},
  ): Promise<CachedDecoder> {
    expectOptions('createDecoder', options, DECODER_OPTIONS);
    expectBackend('createDecoder');
    const { weights = 'f32', kv = 'f32' } = options;
    const runtime = createRuntime();
    const shape = modelShape(config);
    const variant = parseAttention(shape.attention);
    variant.validate(shape);
    expectKvType(kv, variant, shape);
    const loader = new WeightLoader(runtime, 'read' in source ? source : sourceOf(source), {
      config, shape, attention: variant, specs: family.parameters(config, variant), type: weights,
    });
    try {
      const transformer = await family.load(config, loader);
      const routers: (LayerRouter | null)[] = [];
      const attention: (LayerAttention | null)[] = [];
      for (let layer = 0; layer < shape.layers; layer++) {
        const at = family.layerName(layer);
        const formats = await loader.formats(layer, at);
        const latents = formats && transformer.softCap === undefined ? await loader.latents(formats, at) : null;
        const router = await loader.router(layer, at);
        routers.push(router);
        attention.push(formats && createLayerAttention({
          runtime, formats, projections: transformer.projections[layer]!, type: kv,
          router: router?.tokens ?? null, readsLost: router !== null && router.router.distortion !== undefined,
          ...(transformer.normKeys && { normKeys: (k, rows) => transformer.normKeys!(layer, k, rows) }),
        }, latents));
      }
      const storing = storingLayers(shape.layers, variant);
      const inLayer = family.parameters(config, variant).filter(({ name }) => name.startsWith(`${family.layerName(0)}.`));
      const sizes = inLayer.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
      return new CachedDecoder({
        runtime, shape, variant, transformer, routers, attention, kvType: kv,
        owned: loader.owned,
        fingerprint: String(loader.fingerprint),
        kvHeads: variant.storedKvHeads(shape.kvHeads),
        layerParameters: sizes.reduce((sum, size) => sum + size, 0),
        largestMatrix: Math.max(...sizes),
        cacheLayer: Array.from({ length: shape.layers }, (_, layer) => storing.indexOf(variant.kvSource(layer))),
      });
    } catch (error) {
      for (const resident of loader.owned) resident.dispose();
      throw error;
    }
  }

  private constructor(parts: Parts) {
    const { runtime, shape, variant, kvType: kv, fingerprint, cacheLayer } = parts;
    this.#parts = parts;
    this.runtime = runtime;
    this.vocabularySize = shape.vocabularySize;
    this.contextLength = shape.contextLength;
    this.attention = variant.spec;
    this.kv = kv;
    const storing = parts.attention.filter((own) => own !== null);
    const formats = variant.formats.stored(formatLayout(variant, shape));
    const packs = formats.some(({ stored, coarser }) => stored.packing ?? coarser?.ladder.some((form) => form.stored.packing));
    this.#pool = new CachePool(storing[0]!, {
      layers: new Set(cacheLayer).size,
      formats,
      // What is packed may be packed by constants of its layer.
      ...(packs && { formatsOf: (layer) => storing[layer]!.formats }),
      queryHeads: shape.heads,
      type: kv,
      fingerprint,
    });
  }

  /** `fused` where kernels of this project attend to what is cached, `reference` where it is read back on the host. */
  get path(): InferenceRuntime['path'] {
    return this.#parts.attention.some((own) => own?.path === 'reference') ? 'reference' : this.runtime.path;
  }

  /** Tells models and weights apart: 16 hexadecimal digits from the configuration and samples of the parameters. */
  get fingerprint(): string {
    return this.#parts.fingerprint;
  }

  get weightBytes(): number {
    return this.#parts.owned.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * @throws ArgumentError when there is no such policy, its bytes are too few, or the sequence could leave a layer's sliding window
   */
  createCache(options: CacheOptions = {}): KvCache {
    this.#lifetime.expect('createCache');
    expectOptions('createCache', options, CACHE);
    const { shape, transformer } = this.#parts;
    const windows = Array.from({ length: shape.layers }, (_, layer) => transformer.window(layer) ?? Infinity);
    const { maxTokens = this.contextLength } = options;
    expectInWindow(options, maxTokens, Math.min(...windows));
    return this.#pool.create({ ...options, maxTokens });
  }

  async restoreCache(bytes: Uint8Array, options: CacheOptions = {}): Promise<KvCache> {
    this.#lifetime.expect('restoreCache');
    expectOptions('restoreCache', options, CACHE);
    return this.#pool.restore(bytes, options);
  }

  async prefill(tokens: Int32Array, cache: KvCache, options: PrefillOptions & ChunkOptions): Promise<StepOutput> {
    this.#lifetime.expect('prefill');
    expectOptions('prefill', options, PREFILL);
    const { promptTokens: prompt = tokens.length, want, signal, onProgress, rows: rowsAtOnce } = options;
    const { runtime } = this.#parts;
    const rows = tokens.length;
    if (cache.tokensSeen > 0) throw new ArgumentError(`prefill: expected an empty cache, got one of ${cache.tokensSeen} tokens`);
    expectPrompt('prefill', prompt, rows);
    expectTokens('prefill', tokens, 0, this);
    const decide = decision({ rows, promptTokens: prompt });
    const pass = (inspect?: Inspect) => passText(this.#parts, tokens, { signal, onProgress, rows: rowsAtOnce, decide, cache, inspect }, async ({ x }) => {
      const last = this.#stepBuffers(1);
      runtime.copyRows(x, rows - 1, 1, last.a.x);
      const output = kept(await this.#output(last, 1, want), [cache]);
      cache.commitRows();
      return output;
    });
    try {
      return await explained('prefill', { runtime, rows, nameOf: atToken, size: () => `a text of ${rows} tokens` }, pass);
    } catch (error) {
      // Its pages are for the rows that were planned.
      if (cache.live) cache.reset();
      throw error;
    }
  }

  /**
   * How likely some tokens are, each given the text up to its place, in one pass without a cache. No more than 32 MiB of logits
   * are in memory at a time.
   *
   * @param inputs the text from position 0
   * @param targets the token after each input; a negative one is not asked for, has an nll and a `greedy` of 0, and costs no logits
   * @throws BackendError when logits are NaN or infinite, naming layer and token
   * @throws ArgumentError when they are none, not as many, more than {@link contextLength}, or not of the vocabulary, or
   *   `collapsed` is not a position
   */
  async likelihood(inputs: Int32Array, targets: Int32Array, options: LikelihoodOptions): Promise<RowLikelihood> {
    this.#lifetime.expect('likelihood');
    expectOptions('likelihood', options, LIKELIHOOD_OPTIONS);
    const { routing, collapsed, ...passOptions } = options;
    const rows = inputs.length;
    expectTokens('likelihood', inputs, 0, this);
    expectTargets(targets, rows, collapsed, this);
    const decide = decision({ rows, promptTokens: routing === 'prefill' ? rows : 0 });
    const workAfter = logitWork(this.#parts, targets.filter((target) => target >= 0).length);
    return explained('likelihood', { runtime: this.runtime, rows, nameOf: atToken, size: () => `a text of ${rows} tokens` }, (inspect) => passText(this.#parts, inputs, { ...passOptions, decide, collapsed, inspect, workAfter }, async (result) => {
      const likelihood = await gatherLikelihood(this.#parts, targets, { ...result, logitRows: (count) => this.#logitRows(count) });
      expectLikelihoods(likelihood.nll, targets);
      return likelihood;
    }));
  }

  /**
   * What each router makes of a text, in a pass whose layers follow `routing`: an entry for each layer that routes.
   * @throws ArgumentError when the tokens are none, more than {@link contextLength}, or not of the vocabulary, or the prompt is
   *   longer
   */
  async routingOf(inputs: Int32Array, options: RoutingOptions): Promise<LayerDecisions[]> {
    this.#lifetime.expect('routingOf');
    expectOptions('routingOf', options, ROUTING);
    const { routing, promptTokens: prompt = inputs.length, signal, onProgress, rows } = options;
    expectTokens('routingOf', inputs, 0, this);
    expectPrompt('routingOf', prompt, inputs.length);
    const layers: LayerDecisions[] = [];
    const decide: Decide = async (router, scores) => {
      const decisions = await layerDecisions(router, scores, { rows: inputs.length, promptTokens: prompt });
      layers.push(decisions);
      return decisions[routing];
    };
    // The read waits for the pass, and says whether it went well.
    await passText(this.#parts, inputs, { signal, onProgress, rows, decide }, ({ x }) => this.runtime.read(x, 1, 'argMax'));
    return layers;
  }

  async step(tokens: Int32Array, caches: readonly KvCache[], { want }: { want: Want }): Promise<StepOutput> {
    this.#lifetime.expect('step');
    if (want !== 'argMax' && want !== 'logits') throw new ArgumentError(`step: expected want to be argMax or logits, got ${String(want)}`);
    const rows = tokens.length;
    if (rows !== caches.length || new Set(caches).size !== rows) {
      throw new ArgumentError(`step: expected a cache of its own for each of ${rows} tokens, got ${new Set(caches).size}`);
    }
    caches.forEach(({ tokensSeen }, row) => expectTokens('step', tokens.subarray(row, row + 1), tokensSeen, this));
    const nameOf = (row: number) => `${atToken(caches[row]!.tokensSeen)} of sequence ${row}`;
    const size = () => `${rows} ${rows === 1 ? 'sequence' : 'sequences'} of up to ${Math.max(...caches.map(({ tokensSeen }) => tokensSeen + 1))} tokens`;
    return explained('step', { runtime: this.runtime, rows, nameOf, size }, (inspect) => decodeStep(this.#parts, tokens, caches, {
      buffers: this.#stepBuffers(rows), inspect, output: (buffers, count) => this.#output(buffers, count, want),
    }));
  }

  /** Frees weights and caches. Other calls throw an ArgumentError after it, and a BackendError while another backend is the active one. */
  dispose(): void {
    if (!this.#lifetime.end()) return;
    this.#pool.dispose();
    for (const resident of this.#parts.owned) resident.dispose();
    if (this.#buffers) disposeBuffers(this.#buffers);
    this.#logits?.dispose();
    this.#buffers = null;
    this.#logits = null;
  }

  async #output({ a }: Buffers, rows: number, want: Want): Promise<StepOutput> {
    const logits = this.#logitRows(rows);
    this.#parts.transformer.logits(a, logits, rows);
    const { argMax, values } = await this.runtime.read(logits, rows, want === 'logits' ? 'values' : 'argMax');
    const output = { argMax, logits: values };
    expectDistributions(output, this.vocabularySize);
    return output;
  }

  /** The buffers of steps, made anew only for a larger batch. */
  #stepBuffers(rows: number): Buffers {
    if (this.#buffers && this.#buffers.capacity >= rows) return this.#buffers;
    if (this.#buffers) disposeBuffers(this.#buffers);
    this.#buffers = null;
    return (this.#buffers = allocateBuffers(this.#parts, rows, { projects: this.#parts.attention.some((own) => own?.projects) }));
  }

  #logitRows(rows: number): Rows {
    if (this.#logits && this.#logits.capacity >= rows) return this.#logits;
    this.#logits?.dispose();
    this.#logits = null;
    return (this.#logits = this.runtime.rows(rows, this.vocabularySize));
  }
}

/** How a pass over a text decides. */
function decision(text: TextRows): Decide {
  return (router, scores) => assignExperts(router, scores, text);
}

const atToken = (position: number): string => `token ${position}`;
