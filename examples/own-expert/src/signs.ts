import type { FormatLayout, KvFormat, Packing } from '@mixsga/experts';
import type { AttentionKind } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Stores of each head the signs of its numbers and the mean of their sizes, as XNOR-Net does with weights (Rastegari et al. 2016, arXiv
 * 1603.05279): a bit a number and a float32 a head. A cache sees that; training sees the numbers as they are.
 */
export function signs({ kvHeads, headDim }: FormatLayout): KvFormat {
  return {
    name: 'signs',
    kvHeads,
    headDim,
    stored: { heads: 2 * kvHeads, headDim, packing: signPacking(headDim, 2 * kvHeads) },
    encode: (k, v) => tf.concat([k, v], k.rank - 2),
    decode(stored) {
      const [k, v] = tf.split(stored, 2, stored.rank - 2) as [Tensor, Tensor];
      return { k, v };
    },
  };
}

function signPacking(headDim: number, heads: number): Packing {
  const signBytes = Math.ceil(headDim / 8);
  const headBytes = 4 + signBytes;
  return {
    bytes: heads * headBytes,
    pack(numbers, to) {
      const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
      to.fill(0);
      for (let head = 0; head < heads; head++) {
        const own = numbers.subarray(head * headDim, (head + 1) * headDim);
        view.setFloat32(head * headBytes, own.reduce((sum, x) => sum + Math.abs(x), 0) / headDim, true);
        own.forEach((x, i) => (to[head * headBytes + 4 + (i >> 3)]! |= Number(x < 0) << (i & 7)));
      }
    },
    unpack(bytes, to) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      to.forEach((_, i) => {
        const [head, d] = [Math.floor(i / headDim), i % headDim];
        const isNegative = (bytes[head * headBytes + 4 + (d >> 3)]! >> (d & 7)) & 1;
        to[i] = (isNegative ? -1 : 1) * view.getFloat32(head * headBytes, true);
      });
    },
  };
}

/** `signs`, for `registerAttention`: every token in one bit a number, without routing. */
export const signsAttention: AttentionKind = {
  form: 'signs',
  example: 'signs',
  description: 'of keys and values the signs, and a scale for each head',
  parse: (parameters) =>
    parameters === null
      ? {
          spec: 'signs',
          kvShare: 1 / 32, // of the numbers; scales come on top
          experts: null,
          formats: {
            takesRotatedKeys: true,
            grouping: null,
            stored: (layout) => [signs(layout)],
            create: (layout) => [signs(layout)],
          },
          storedKvHeads: (kvHeads) => kvHeads,
          kvSource: (layer) => layer,
          validate: () => undefined,
        }
      : null,
};
