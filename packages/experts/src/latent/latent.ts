import { ArgumentError, expectOptions, storedLatent, type FormatLayout, type KvFormat, type LatentBasis, type OptionNames } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';

export interface LatentOptions extends FormatLayout {
  /** Dimensions that are stored for a token, from 1 to the columns of the basis. */
  readonly rank: number;
  /** Shared by the formats of a layer, which are nested. */
  readonly basis: LatentBasis;
}

const OPTIONS: OptionNames<LatentOptions> = { kvHeads: true, headDim: true, rank: true, basis: { weight: true, bias: true, scale: true } };

/**
 * Low-rank format: keys and values share a latent of few dimensions, as in multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
 * With x = [k; v], B the first columns of the basis, c its scale and b its bias, it stores Bᵀ·(c ∘ (x − b)) and reads back
 * b + B·stored / c. Formats of one basis are nested: the first dimensions of a latent are the latent of a lower rank.
 *
 * @throws ArgumentError when the basis is not of this layout, or the rank beyond it
 */
export function latentFormat(options: LatentOptions): KvFormat {
  expectOptions('latentFormat', options, OPTIONS);
  const { kvHeads, headDim, rank, basis } = options;
  const half = kvHeads * headDim;
  const { weight, bias, scale } = basis;
  const columns = weight.shape[1];
  for (const [name, tensor] of Object.entries(basis) as [string, Tensor][]) {
    if (tensor.shape[0] === 2 * half) continue;
    throw new ArgumentError(`latentFormat: expected ${name} of ${2 * half} rows, the keys and values of a token, got [${tensor.shape.join(', ')}]`);
  }
  if (!Number.isInteger(rank) || rank < 1 || rank > columns) {
    throw new ArgumentError(`latentFormat: expected a rank from 1 to ${columns}, the columns of the basis, got ${rank}`);
  }
  const used = () => (rank === columns ? weight : tf.slice(weight, [0, 0], [2 * half, rank]));

  return {
    ...storedLatent({ kvHeads, headDim, rank }),
    nestedIn: weight,
    basis,
    meaningOf: ({ stored }) => latentFormat({ kvHeads, headDim, rank: stored.headDim, basis }),
    encode(k, v) {
      for (const x of [k, v]) expectShape('encode', x, kvHeads, headDim);
      return tf.tidy(() => {
        const x = tf.concat([tf.reshape(k, [-1, half]), tf.reshape(v, [-1, half])], 1);
        const latent = tf.matMul(tf.mul(tf.sub(x, bias), scale), used());
        return tf.reshape(latent, [...k.shape.slice(0, -2), 1, rank]);
      });
    },
    decode(stored) {
      expectShape('decode', stored, 1, rank);
      return tf.tidy(() => {
        const scaled = tf.matMul(tf.reshape(stored, [-1, rank]), used(), false, true);
        const [k, v] = tf.split(tf.add(tf.div(scaled, scale), bias), 2, 1) as [Tensor, Tensor];
        const heads = [...stored.shape.slice(0, -2), kvHeads, headDim];
        return { k: tf.reshape(k, heads), v: tf.reshape(v, heads) };
      });
    },
  };
}

function expectShape(operation: string, x: Tensor, heads: number, headDim: number): void {
  if (x.shape.at(-2) === heads && x.shape.at(-1) === headDim) return;
  throw new ArgumentError(`latentFormat: ${operation} expected shape [..., ${heads}, ${headDim}], got [${x.shape.join(', ')}]`);
}
