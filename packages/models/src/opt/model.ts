// OPT (Zhang et al. 2022) in its pre-layer-norm form, with any attention variant of the catalog.

import * as tf from '@tensorflow/tfjs-core';
import type { Scalar, Tensor1D, Tensor2D, Tensor3D, Variable } from '@tensorflow/tfjs-core';
import {
  ArgumentError,
  causalAttention,
  embedding,
  layerNorm,
  linear,
  linearCrossEntropy,
  tokenNll,
} from '@mixsga/backend';
import { mixKv } from '@mixsga/experts';
import type { Router } from '@mixsga/router';
import { createRouter } from '@mixsga/router';
import type { AttentionVariant } from '../attention/variant';
import { parseAttention } from '../attention/index';
import type { OptConfig } from '../config/opt';
import { layerName, parameterSpecs, POSITION_OFFSET, randomParameters } from './parameters';

/** `prefill`: expert choice over the sequence, as in training; `decode`: each token's own arg max. */
export type Routing = 'prefill' | 'decode';

/** What a layer's router made of a batch. */
export interface LayerRouting {
  /** float32 [B, T, E] */
  readonly scores: Tensor3D;
  /** int32 [B, T], by expert choice */
  readonly prefill: Tensor2D;
  /** int32 [B, T], by arg max */
  readonly decode: Tensor2D;
}

/** B sequences of T tokens, padded on the right. */
export interface TrainingBatch {
  /** int32 [B, T], token ids */
  readonly inputs: Tensor2D;
  /** int32 [B, T], the token that follows each input; a negative one does not count in the loss. */
  readonly targets: Tensor2D;
  /** int32 [B, T], 0 for padding, which is routed to no expert and takes no capacity; all real when left out. */
  readonly mask?: Tensor2D;
}

export interface Loss {
  /** lm + alpha · consistency */
  readonly total: Scalar;
  /** Mean negative log-likelihood of the targets that count, under prefill routing, nats a token. */
  readonly lm: Scalar;
  /** Consistency loss, the mean over layers; 0 without routers. */
  readonly consistency: Scalar;
}

interface Pass {
  readonly hidden: Tensor2D;
  readonly routed: { scores: Tensor3D; assignment: Tensor2D; router: Router }[];
}

/** An OPT decoder on the active tfjs backend. It owns its variables: call {@link OptModel.dispose}. */
export class OptModel {
  readonly attention: AttentionVariant;
  readonly #variables = new Map<string, Variable>();
  /** One per layer, or none when the variant has no experts. */
  readonly #routers: Router[] = [];

  /**
   * @param values one array for every parameter, by Hugging Face name; router parameters may be missing, and are
   *   then initialised from `config.mixsga.routerSeed`
   * @throws ArgumentError when the attention variant does not fit the model, or a parameter is missing or of another size
   */
  constructor(
    readonly config: OptConfig,
    values: ReadonlyMap<string, Float32Array>,
  ) {
    refusePostNorm(config);
    this.attention = parseAttention(config.mixsga?.attention ?? 'mha');
    this.attention.validate({ kvHeads: config.num_attention_heads, layers: config.num_hidden_layers });
    for (const { name, shape } of parameterSpecs(config, this.attention)) {
      this.#variables.set(name, tf.tidy(() => tf.variable(tf.tensor(take(values, name, shape), shape))));
    }
    if (this.attention.experts) this.#createRouters(this.attention.experts.ratios, values);
  }

  /** A model with random weights. */
  static create(config: OptConfig, seed: number): OptModel {
    return new OptModel(config, randomParameters(config, parseAttention(config.mixsga?.attention ?? 'mha'), seed));
  }

  /** Every trainable parameter by its Hugging Face name; routers are `…self_attn.router.weight` and `.bias`. */
  parameters(): ReadonlyMap<string, Variable> {
    return this.#variables;
  }

  /** Training loss of a batch under prefill routing; differentiable in {@link parameters}. */
  loss({ inputs, targets, mask }: TrainingBatch, { alpha }: { alpha: number }): Loss {
    const { hidden, routed } = this.#forward(inputs, 'prefill', mask);
    const lm = linearCrossEntropy(hidden, this.#head(), flat(targets));
    if (routed.length === 0) return { total: lm, lm, consistency: tf.scalar(0) };
    const losses = routed.map(({ scores, assignment, router }) => router.loss(scores, assignment, mask));
    const consistency = tf.div<Scalar>(tf.addN(losses), routed.length);
    // With alpha 0 the routers get no gradient, instead of a gradient of zeros that costs a pass.
    const total = alpha === 0 ? lm : tf.add<Scalar>(lm, tf.mul(consistency, alpha));
    return { total, lm, consistency };
  }

  /** −log p(target) in nats: float32 [B, T], 0 where the target is negative. */
  tokenNll(inputIds: Tensor2D, targets: Tensor2D, { routing }: { routing: Routing }): Tensor2D {
    return tf.tidy(() => {
      const { hidden } = this.#forward(inputIds, routing);
      return tf.reshape(tokenNll(hidden, this.#head(), flat(targets)), inputIds.shape);
    });
  }

  /** float32 [B, T, V] */
  logits(inputIds: Tensor2D, { routing }: { routing: Routing }): Tensor3D {
    return tf.tidy(() => {
      const { hidden } = this.#forward(inputIds, routing);
      return tf.reshape(linear(hidden, this.#head(), null), [...inputIds.shape, this.config.vocab_size]);
    });
  }

  /**
   * The routers' scores and both decisions in a pass whose layers follow `routing`; empty without routers. The
   * caller disposes the tensors.
   */
  routingOf(inputIds: Tensor2D, { routing }: { routing: Routing }): LayerRouting[] {
    return tf.tidy(() =>
      this.#forward(inputIds, routing).routed.map(({ scores, assignment, router }) => ({
        scores,
        prefill: routing === 'prefill' ? assignment : router.assign(scores),
        decode: routing === 'decode' ? assignment : router.decode(scores),
      })),
    );
  }

  dispose(): void {
    for (const router of this.#routers) router.dispose();
    for (const variable of this.#variables.values()) variable.dispose();
  }

  #forward(inputIds: Tensor2D, routing: Routing, mask?: Tensor2D): Pass {
    const { num_attention_heads: heads, num_hidden_layers: layers, max_position_embeddings: limit } = this.config;
    const [batch, length] = inputIds.shape;
    if (length > limit) {
      throw new ArgumentError(`OptModel: expected at most ${limit} tokens a sequence, got ${length}; shorten the window`);
    }
    const headDim = this.config.hidden_size / heads;
    const kvHeads = this.attention.storedKvHeads(heads);
    const routed: Pass['routed'] = [];
    const kvOf: { k: Tensor2D; v: Tensor2D }[] = [];

    let x = this.#embed(inputIds); // [B·T, D]
    for (let layer = 0; layer < layers; layer++) {
      const at = layerName(layer);
      const normed = this.#norm(`${at}.self_attn_layer_norm`, x);
      const q = this.#linear(`${at}.self_attn.q_proj`, normed);
      const source = this.attention.kvSource(layer);
      if (source === layer) {
        const k = this.#linear(`${at}.self_attn.k_proj`, normed); // [B·T, K·d]
        const v = this.#linear(`${at}.self_attn.v_proj`, normed);
        const router = this.#routers[layer];
        if (router && this.attention.experts) {
          const scores = router.score(tf.reshape(normed, [batch, length, this.config.hidden_size]));
          const assignment = routing === 'prefill' ? router.assign(scores, mask) : router.decode(scores);
          routed.push({ scores, assignment, router });
          const { groupSizes, pooling } = this.attention.experts;
          kvOf[layer] = mixKv(k, v, flat(assignment), { headDim, groupSizes, pooling });
        } else {
          kvOf[layer] = { k, v };
        }
      }
      const { k, v } = kvOf[source]!;
      const attended = causalAttention(q, k, v, { batch, heads, kvHeads });
      x = tf.add(x, this.#linear(`${at}.self_attn.out_proj`, attended));
      const inner = linear(
        this.#norm(`${at}.final_layer_norm`, x),
        this.#matrix(`${at}.fc1.weight`),
        this.#vector(`${at}.fc1.bias`),
        'relu',
      );
      x = tf.add(x, this.#linear(`${at}.fc2`, inner));
    }
    return { hidden: this.#norm('model.decoder.final_layer_norm', x), routed };
  }

  #embed(inputIds: Tensor2D): Tensor2D {
    const [batch, length] = inputIds.shape;
    const width = this.config.hidden_size;
    const tokens = embedding(this.#matrix('model.decoder.embed_tokens.weight'), flat(inputIds));
    const table = this.#matrix('model.decoder.embed_positions.weight');
    const positions = tf.slice(table, [POSITION_OFFSET, 0], [length, width]);
    return tf.reshape(tf.add(tf.reshape(tokens, [batch, length, width]), positions), [batch * length, width]);
  }

  #createRouters(ratios: readonly number[], values: ReadonlyMap<string, Float32Array>): void {
    const { num_hidden_layers: layers, hidden_size: hiddenSize, mixsga } = this.config;
    for (let layer = 0; layer < layers; layer++) {
      const prefix = `${layerName(layer)}.self_attn.router`;
      const weight = values.get(`${prefix}.weight`);
      const bias = values.get(`${prefix}.bias`);
      const router = createRouter(mixsga?.router ?? 'sigmoid', {
        hiddenSize,
        ratios,
        seed: mixsga?.routerSeed ?? 0,
        layer,
        ...(weight && bias ? { weights: { weight, bias } } : {}),
      });
      this.#routers.push(router);
      for (const [name, variable] of Object.entries(router.trainable)) this.#variables.set(`${prefix}.${name}`, variable);
    }
  }

  /** The output head, tied to the token embeddings. */
  #head(): Tensor2D {
    return this.#matrix('model.decoder.embed_tokens.weight');
  }

  #linear(name: string, x: Tensor2D): Tensor2D {
    return linear(x, this.#matrix(`${name}.weight`), this.#vector(`${name}.bias`));
  }

  #norm(name: string, x: Tensor2D): Tensor2D {
    return layerNorm(x, this.#vector(`${name}.weight`), this.#vector(`${name}.bias`));
  }

  #matrix(name: string): Tensor2D {
    return this.#variables.get(name)! as unknown as Tensor2D;
  }

  #vector(name: string): Tensor1D {
    return this.#variables.get(name)! as unknown as Tensor1D;
  }
}

function refusePostNorm(config: OptConfig): void {
  if (config.do_layer_norm_before && !config._remove_final_layer_norm && config.word_embed_proj_dim === config.hidden_size) {
    return;
  }
  throw new ArgumentError(
    'OptModel: expected the pre-layer-norm form with embeddings as wide as the layers; ' +
      'the form of opt-350m (post-norm, projected embeddings) is not implemented',
  );
}

/** [B, T] -> [B·T] */
function flat(tensor: Tensor2D): Tensor1D {
  return tf.reshape(tensor, [tensor.size]);
}

function take(values: ReadonlyMap<string, Float32Array>, name: string, shape: number[]): Float32Array {
  const array = values.get(name);
  if (!array) throw new ArgumentError(`OptModel: expected a parameter ${name}, and there is none`);
  if (array.length !== tf.util.sizeFromShape(shape)) {
    throw new ArgumentError(`OptModel: expected ${name} of shape [${shape.join(', ')}], got ${array.length} values`);
  }
  return array;
}
