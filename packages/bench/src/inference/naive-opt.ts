// OPT as it is mostly written for TensorFlow.js, the baseline of the inference benchmarks: stock operations, a KV cache that
// each step copies to a longer one, KV heads expanded to the query heads, and logits by the transposed embeddings.

import { type OptConfig, parameterSpecs, parseAttention } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';

/** Keys and values of a layer, each [K, T, d]. */
export type NaiveLayerCache = { k: Tensor3D; v: Tensor3D };

const POSITION_OFFSET = 2;
const EPSILON = 1e-5;

/** An OPT with `mha` or `gqa:N`. It owns its tensors: call {@link NaiveOpt.dispose}. */
export class NaiveOpt {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly #config: OptConfig;
  readonly #weights = new Map<string, Tensor>();

  constructor(config: OptConfig, values: ReadonlyMap<string, Float32Array>) {
    this.#config = config;
    const attention = parseAttention(config.mixsga?.attention ?? 'mha');
    this.kvHeads = attention.storedKvHeads(config.num_attention_heads);
    this.headDim = config.hidden_size / config.num_attention_heads;
    for (const { name, shape } of parameterSpecs(config, attention)) {
      this.#weights.set(name, tf.tidy(() => weight(name, tf.tensor(values.get(name)!, shape))));
    }
  }

  /** Bytes of its weights. */
  get weightBytes(): number {
    return [...this.#weights.values()].reduce((sum, { size }) => sum + 4 * size, 0);
  }

  /**
   * A pass over tokens that come after those of the cache. The caller disposes what it gives.
   * @returns logits after the last token, float32 [1, V], and the longer cache
   */
  forward(ids: Int32Array, past: readonly NaiveLayerCache[] | null): { logits: Tensor2D; cache: NaiveLayerCache[] } {
    const seen = past?.[0]!.k.shape[1] ?? 0;
    const cache: NaiveLayerCache[] = [];
    const mask = ids.length > 1 ? tf.tidy(() => causalMask(seen, ids.length)) : null; // [T, seen + T]
    let x: Tensor2D = tf.tidy(() => this.#embed(ids, seen)); // [T, D]
    for (let layer = 0; layer < this.#config.num_hidden_layers; layer++) {
      const next = tf.tidy(() => this.#layer(`model.decoder.layers.${layer}`, x, past?.[layer] ?? null, mask));
      x.dispose();
      x = next.x;
      cache.push({ k: next.k, v: next.v });
    }
    const logits = tf.tidy(() => {
      const last = tf.slice(x, [ids.length - 1, 0], [1, this.#config.hidden_size]);
      const normed = this.#norm('model.decoder.final_layer_norm', last);
      return tf.matMul<Tensor2D>(normed, this.#tensor('model.decoder.embed_tokens.weight'), false, true);
    });
    tf.dispose([x, ...(mask ? [mask] : [])]);
    return { logits, cache };
  }

  dispose(): void {
    tf.dispose([...this.#weights.values()]);
  }

  #layer(at: string, x: Tensor2D, past: NaiveLayerCache | null, mask: Tensor2D | null): NaiveLayerCache & { x: Tensor2D } {
    const heads = this.#config.num_attention_heads;
    const normed = this.#norm(`${at}.self_attn_layer_norm`, x);
    const q = this.#split(this.#linear(`${at}.self_attn.q_proj`, normed), heads); // [H, T, d]
    const newK = this.#split(this.#linear(`${at}.self_attn.k_proj`, normed), this.kvHeads); // [K, T, d]
    const newV = this.#split(this.#linear(`${at}.self_attn.v_proj`, normed), this.kvHeads);
    const k = past ? tf.concat([past.k, newK], 1) : newK; // [K, seen + T, d]
    const v = past ? tf.concat([past.v, newV], 1) : newV;
    const scores = tf.mul<Tensor3D>(tf.matMul(q, expand(k, heads), false, true), this.headDim ** -0.5); // [H, T, seen + T]
    const probabilities = tf.softmax(mask ? tf.add(scores, mask) : scores);
    const attended = tf.matMul(probabilities, expand(v, heads)); // [H, T, d]
    const merged = tf.reshape<tf.Rank.R2>(tf.transpose(attended, [1, 0, 2]), [x.shape[0], x.shape[1]]);
    const middle = tf.add<Tensor2D>(x, this.#linear(`${at}.self_attn.out_proj`, merged));
    const inner = tf.relu(this.#linear(`${at}.fc1`, this.#norm(`${at}.final_layer_norm`, middle)));
    return { x: tf.add<Tensor2D>(middle, this.#linear(`${at}.fc2`, inner)), k, v };
  }

  #embed(ids: Int32Array, seen: number): Tensor2D {
    const tokens = tf.gather(this.#tensor('model.decoder.embed_tokens.weight'), tf.tensor1d(ids, 'int32'));
    const table = this.#tensor('model.decoder.embed_positions.weight');
    return tf.add(tokens, tf.slice(table, [seen + POSITION_OFFSET, 0], [ids.length, this.#config.hidden_size]));
  }

  #linear(name: string, x: Tensor2D): Tensor2D {
    return tf.add(tf.matMul(x, this.#tensor(`${name}.weight`)), this.#tensor(`${name}.bias`));
  }

  #norm(name: string, x: Tensor2D): Tensor2D {
    const { mean, variance } = tf.moments(x, -1, true);
    const normed = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, EPSILON)));
    return tf.add(tf.mul(normed, this.#tensor(`${name}.weight`)), this.#tensor(`${name}.bias`));
  }

  /** [T, n·d] to [n, T, d] */
  #split(x: Tensor2D, heads: number): Tensor3D {
    return tf.transpose(tf.reshape(x, [x.shape[0], heads, this.headDim]), [1, 0, 2]);
  }

  #tensor(name: string): Tensor2D {
    return this.#weights.get(name) as Tensor2D;
  }
}

/** Matrices of layers become [inputs, outputs], which stock products are fastest with. */
function weight(name: string, tensor: Tensor): Tensor {
  return tensor.rank === 2 && !name.includes('embed_') ? tf.transpose(tensor) : tensor;
}

/** [K, T, d] to [H, T, d], each KV head once for every query head of its group. */
function expand(x: Tensor3D, heads: number): Tensor3D {
  const [kvHeads, tokens, headDim] = x.shape;
  if (kvHeads === heads) return x;
  const group = heads / kvHeads;
  // Of the stock ways the fastest by far on wasm; tile and gather take hundreds of times as long.
  return tf.reshape(tf.mul(tf.reshape(x, [kvHeads, 1, tokens, headDim]), tf.ones([1, group, 1, 1])), [heads, tokens, headDim]);
}

/** 0 where a query sees a token, −10⁹ where it does not: [T, seen + T]. */
function causalMask(seen: number, tokens: number): Tensor2D {
  const query = tf.reshape(tf.range(seen, seen + tokens), [tokens, 1]);
  const key = tf.reshape(tf.range(0, seen + tokens), [1, seen + tokens]);
  return tf.mul(tf.cast(tf.greater(key, query), 'float32'), -1e9);
}
