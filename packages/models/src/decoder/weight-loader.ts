import { ArgumentError, layerInBasis } from '@mixsga/backend';
import type { DenseLayer, InferenceRuntime, KvWeights, LatentWeights, LinearWeights, Resident, TokenRouter, Vector, VectorRuntime, WeightType } from '@mixsga/backend';
import type { KvFormat } from '@mixsga/experts';
import type { Router } from '@mixsga/router';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { AttentionVariant } from '../attention/variant';
import type { ModelConfig, ModelShape } from '../config/shape';
import { finiteSource } from '../io/finite-source';
import { expectListed, type ParameterSource, type ParameterSpec } from '../io/parameter-source';
import { loadFormats } from '../attention/load-formats';
import { loadRouter } from '../attention/layer-router';
import { Fingerprint } from './fingerprint';

/** The router of a layer: for prompts, and as a runtime takes it for single tokens. */
export interface LayerRouter {
  readonly router: Router;
  readonly tokens: TokenRouter;
}

export interface LoaderOptions {
  readonly config: ModelConfig;
  readonly shape: ModelShape;
  readonly attention: AttentionVariant;
  readonly specs: readonly ParameterSpec[];
  readonly type: WeightType;
}

/**
 * Reads a model's parameters by name and packs each on the runtime before the next is read. Names are those of Hugging Face
 * without `.weight` and `.bias`; shapes come from the parameter specs.
 */
export class WeightLoader {
  readonly fingerprint: Fingerprint;
  /** What the pieces of a family's forward pass run on. */
  readonly runtime: VectorRuntime;
  readonly #runtime: InferenceRuntime;
  readonly #source: ParameterSource;
  readonly #specs: ReadonlyMap<string, ParameterSpec>;
  readonly #owned: Resident[] = [];

  constructor(
    runtime: InferenceRuntime,
    source: ParameterSource,
    private readonly options: LoaderOptions,
  ) {
    this.runtime = this.#runtime = runtime;
    this.#source = finiteSource(source);
    this.#specs = new Map(options.specs.map((spec) => [spec.name, spec]));
    this.fingerprint = new Fingerprint(options.config);
  }

  /** Everything made so far, which belongs to who asked for it. */
  get owned(): readonly Resident[] {
    return this.#owned;
  }

  /** A matrix, with its bias where there is one. @param type default: that of the model's weights */
  async linear(name: string, type: WeightType = this.options.type): Promise<LinearWeights> {
    return this.#own(this.#runtime.packLinear(await this.#dense(name), type));
  }

  /** `NAME.weight` as a vector. */
  vector(name: string): Promise<Vector> {
    return this.#vector(`${name}.weight`);
  }

  /** Gain and bias of a layer norm. */
  async norm(name: string): Promise<{ gain: Vector; bias: Vector }> {
    return { gain: await this.#vector(`${name}.weight`), bias: await this.#vector(`${name}.bias`) };
  }

  /** A vector of gains that are stored as what they differ from 1 by. */
  async gainFromOne(name: string): Promise<Vector> {
    return this.#own(this.#runtime.vector((await this.#read(`${name}.weight`)).map((w) => 1 + w)));
  }

  /**
   * `k_proj` and `v_proj` of a layer's attention, named `at`; null where it reads those of another layer.
   * @param normed whether the family norms keys, so that no projection gives what a group of heads stores
   */
  async projections(layer: number, at: string, { normed = false } = {}): Promise<KvWeights | null> {
    const { attention, shape, type } = this.options;
    if (attention.kvSource(layer) !== layer) return null;
    const { grouping } = attention.formats;
    const projections = {
      k: await this.#dense(`${at}.k_proj`),
      v: await this.#dense(`${at}.v_proj`),
      kvHeads: attention.storedKvHeads(shape.kvHeads),
      groupSizes: (normed ? null : grouping?.groupSizes) ?? [1],
      pooling: grouping?.pooling ?? 'mean',
    };
    return this.#own(this.#runtime.packKv(projections, type));
  }

  /** The router of a layer named `at`, as it is stored or drawn anew; null where the variant has no experts. */
  async router(layer: number, at: string): Promise<LayerRouter | null> {
    const { attention, config } = this.options;
    const router = await loadRouter(config, attention, layer, `${at}.self_attn.router`, {
      has: (name) => this.#source.has(name),
      read: (name) => this.#values(name),
    });
    if (!router) return null;
    this.#own({ bytes: 0, dispose: () => router.dispose() });
    return { router, tokens: await this.#tokenRouter(router) };
  }

  /** The formats of a layer named `at`; null where it reads another's keys and values. */
  async formats(layer: number, at: string): Promise<readonly KvFormat[] | null> {
    const { attention, shape } = this.options;
    const loaded = await loadFormats(shape, attention, layer, `${at}.self_attn`, (name) => this.#values(name));
    if (!loaded) return null;
    for (const tensor of loaded.constants.values()) this.#own({ bytes: 4 * tensor.size, dispose: () => tensor.dispose() });
    return loaded.formats;
  }

  /** What latents are made by, where all formats of the layer named `at` are of one basis and the runtime has kernels for them; else null. */
  async latents(formats: readonly KvFormat[], at: string): Promise<LatentWeights | null> {
    const { attention, shape, type } = this.options;
    const { latents } = this.#runtime;
    const basis = formats[0]?.basis;
    if (!latents || !basis || !formats.every((format) => format.kernel?.kind === 'latent' && format.basis === basis)) return null;
    // Read once more: to keep them from when they were packed would be to hold all layers.
    const again = (name: string) => this.#dense(`${at}.self_attn.${name}`, (parameter) => this.#source.read(parameter));
    const [k, v] = [await again('k_proj'), await again('v_proj')];
    const layer = await layerInBasis(basis, k, v, attention.storedKvHeads(shape.kvHeads));
    return this.#own(latents.pack(layer, type));
  }

  async #tokenRouter(router: Router): Promise<TokenRouter> {
    const decode = (x: Tensor3D) => router.decode(router.score(x));
    const layer = await linearOf(router);
    const linear = layer && this.#runtime.packRouter(layer);
    return { linear: linear && this.#own(linear), decode };
  }

  async #vector(name: string): Promise<Vector> {
    return this.#own(this.#runtime.vector(await this.#read(name)));
  }

  async #dense(name: string, read = (parameter: string) => this.#read(parameter)): Promise<DenseLayer> {
    const [outputs, inputs] = this.#spec(`${name}.weight`).shape as [number, number];
    const bias = this.#specs.has(`${name}.bias`) ? await read(`${name}.bias`) : null;
    return { weight: await read(`${name}.weight`), bias, outputs, inputs };
  }

  #spec(name: string): ParameterSpec {
    return expectListed(name, this.#specs.get(name));
  }

  async #read(name: string): Promise<Float32Array> {
    const { shape } = this.#spec(name);
    const values = await this.#values(name);
    if (values.length !== shape.reduce((a, b) => a * b)) {
      throw new ArgumentError(`${name}: expected shape [${shape.join(', ')}], got ${values.length} values; do config.json and weights belong together?`);
    }
    return values;
  }

  async #values(name: string): Promise<Float32Array> {
    const values = await this.#source.read(name);
    this.fingerprint.addParameter(name, values);
    return values;
  }

  #own<T extends Resident>(resident: T): T {
    this.#owned.push(resident);
    return resident;
  }
}

/** A layer whose arg max over what the router reads is its decision; null where there is none. */
async function linearOf({ linear, distortion, experts }: Router): Promise<DenseLayer | null> {
  if (linear) {
    const [weight, bias] = [await linear.weight.data<'float32'>(), await linear.bias.data<'float32'>()];
    return { weight, bias, outputs: experts, inputs: weight.length / experts };
  }
  if (!distortion) return null;
  const [energy, bias] = [await distortion.energy.data<'float32'>(), await distortion.bias.data<'float32'>()];
  const inputs = 2 * (experts + 1);
  const weight = new Float32Array(experts * inputs);
  for (let expert = 0; expert < experts; expert++) {
    energy.forEach((mean, kind) => (weight[expert * inputs + kind * (experts + 1) + 1 + expert] = -1 / mean));
  }
  return { weight, bias, outputs: experts, inputs };
}

/** Parameters that are in memory, as a source that copies none of them. @throws ArgumentError from `read`, when there is none */
export function sourceOf(values: ReadonlyMap<string, Float32Array>): ParameterSource {
  return {
    has: (name) => values.has(name),
    async read(name) {
      const array = values.get(name);
      if (!array) throw new ArgumentError(`expected a parameter ${name}, and there is none`);
      return array;
    },
  };
}
