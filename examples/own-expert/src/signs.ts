import type { Coarsening, FormatLayout, KvFormat, Packing, StoredFormat } from '@mixsga/experts';
import { formatKind } from '@mixsga/models';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor } from '@tensorflow/tfjs-core';

/** How many heads share a scale: none, or all of the keys, and all of the values. */
type Scales = 'each' | 'shared';

/**
 * Stores of each head the signs of its dimensions and the mean of their sizes, as XNOR-Net does with weights (Rastegari et al. 2016, arXiv
 * 1603.05279): a bit a dimension and a float32 a head. A cache sees that; training sees the numbers as they are.
 *
 * Its coarser form has one scale for all heads of the keys and one for those of the values: their means, so that the stored bytes are enough to
 * make it. This is a ladder of packed forms, from which no sizes can be chosen.
 */
export function signs({ kvHeads, headDim }: FormatLayout, scales: Scales = 'each'): KvFormat {
  return {
    ...storedSigns({ kvHeads, headDim }, scales),
    meaningOf: () => signs({ kvHeads, headDim }, 'shared'),
    encode: (k, v) => tf.concat([k, v], k.rank - 2),
    decode(stored) {
      const [k, v] = tf.split(stored, 2, stored.rank - 2) as [Tensor, Tensor];
      return { k, v };
    },
  };
}

function storedSigns({ kvHeads, headDim }: FormatLayout, scales: Scales): StoredFormat {
  const own = {
    name: scales === 'each' ? 'signs' : 'signs:shared',
    kvHeads,
    headDim,
    stored: { heads: 2 * kvHeads, headDim, packing: signPacking(headDim, 2 * kvHeads, scales === 'each' ? 1 : kvHeads) },
  };
  if (scales === 'shared') return own;
  const shared = storedSigns({ kvHeads, headDim }, 'shared');
  return { ...own, coarser: { ladder: [shared], to: ({ name }) => (name === shared.name ? sharing(headDim, kvHeads) : null) } };
}

/** A scale and then the signs, of each run of heads that share the scale. */
function signPacking(headDim: number, heads: number, headsInRun: number): Packing {
  const signBytes = Math.ceil(headDim / 8);
  const runBytes = 4 + headsInRun * signBytes;
  const runOf = (head: number) => Math.floor(head / headsInRun) * runBytes;
  const signsOf = (head: number) => runOf(head) + 4 + (head % headsInRun) * signBytes;
  return {
    bytes: (heads / headsInRun) * runBytes,
    pack(numbers, to) {
      const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
      to.fill(0);
      for (let head = 0; head < heads; head++) {
        const own = numbers.subarray(head * headDim, (head + 1) * headDim);
        if (head % headsInRun === 0) {
          const run = numbers.subarray(head * headDim, (head + headsInRun) * headDim);
          view.setFloat32(runOf(head), run.reduce((sum, x) => sum + Math.abs(x), 0) / run.length, true);
        }
        own.forEach((x, i) => (to[signsOf(head) + (i >> 3)]! |= Number(x < 0) << (i & 7)));
      }
    },
    unpack(bytes, to) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      to.forEach((_, i) => {
        const [head, d] = [Math.floor(i / headDim), i % headDim];
        const isNegative = (bytes[signsOf(head) + (d >> 3)]! >> (d & 7)) & 1;
        to[i] = (isNegative ? -1 : 1) * view.getFloat32(runOf(head), true);
      });
    },
  };
}

/** Bytes of heads that have a scale each to bytes of heads that share one: the mean of their scales, and the signs as they are. */
function sharing(headDim: number, kvHeads: number): Coarsening {
  const signBytes = Math.ceil(headDim / 8);
  const headBytes = 4 + signBytes;
  const runBytes = 4 + kvHeads * signBytes;
  return {
    isNested: true,
    apply(from: Uint8Array, to: Uint8Array) {
      const [fine, coarse] = [from, to].map(({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength)) as [DataView, DataView];
      for (const run of [0, 1]) {
        let sum = 0;
        for (let head = 0; head < kvHeads; head++) {
          const at = (run * kvHeads + head) * headBytes;
          sum += fine.getFloat32(at, true);
          to.set(from.subarray(at + 4, at + headBytes), run * runBytes + 4 + head * signBytes);
        }
        coarse.setFloat32(run * runBytes, sum / kvHeads, true);
      }
    },
  };
}

/** `signs`, for `registerAttention`: every token in one bit a dimension, without routing. */
export const signsAttention = formatKind({
  name: 'signs',
  description: 'of keys and values the signs, and a scale for each head; coarsened, one for all heads',
  // A rotated head has signs still.
  takesRotatedKeys: true,
  compression: 32,
  create: (layout) => signs(layout),
});
