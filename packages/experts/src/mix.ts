import { ArgumentError, type Grouping, groupingOf, groupMean, type KeyValue, type KvFormat } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

/** How the choice of experts, which passes no gradient, is differentiated all the same. */
export interface SoftMixture {
  /** float32 [tokens, E], the weights of the experts in a soft mixture. */
  readonly gates: Tensor2D;
  /**
   * The gradient of the loss in the gates, [tokens, E].
   * @param along [tokens, E], the inner product of its gradient in a token's mixed keys and values with those that each expert gives
   */
  gradient(along: Tensor2D, gates: Tensor2D, assignment: Tensor1D): Tensor2D;
}

/**
 * The keys and values that attention sees when every token is stored by its own expert (paper section 3.3): what the format of its
 * expert gives back of them. Formats that group heads are computed by the fused operation; of others each stores and reads back all
 * tokens, and each token takes the result of its own; formats that are nested in one do it once, each token with its own count of numbers.
 *
 * @param k, v float32 [tokens, KV heads · head dimension], the layer's own projections
 * @param assignment int32 [tokens], an index into `formats`; negative (padding) leaves the token as it is
 * @param soft makes it differentiable in its gates as well; the result, and its gradient in k and v, stay those of the hard choice. For
 *   formats that group heads
 * @returns the same shapes; differentiable in k and v
 * @throws ArgumentError when there is no format, or the rows do not hold the formats' KV heads
 */
export function mixKv(
  k: Tensor2D, v: Tensor2D, assignment: Tensor1D, formats: readonly KvFormat[], soft?: SoftMixture,
): KeyValue<Tensor2D> {
  expectRows('mixKv', k, formats);
  const grouping = groupingOf(formats);
  if (!grouping) {
    if (soft) throw new ArgumentError('mixKv: expected formats that group heads for a soft mixture, got others');
    return mixByMeaning(k, v, assignment, formats);
  }
  if (!soft) return { k: groupMean(k, assignment, grouping), v: groupMean(v, assignment, grouping) };
  // Keys and values as the heads of one tensor, since a gate weighs both: groups divide the KV heads, so none has heads of both.
  const mixed = mixSoftly(tf.concat([k, v], 1), assignment, grouping, soft);
  const [keys, values] = tf.split(mixed, 2, 1) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

/** @param x float32 [tokens, heads · head dimension] */
function mixSoftly(x: Tensor2D, assignment: Tensor1D, options: Grouping, { gates, gradient }: SoftMixture): Tensor2D {
  const { tokens, experts } = { tokens: x.shape[0], experts: options.groupSizes.length };
  if (gates.shape.join() !== `${tokens},${experts}`) {
    throw new ArgumentError(`mixKv: expected gates of shape [${tokens}, ${experts}], got [${gates.shape.join(', ')}]`);
  }
  const mix = tf.customGrad((...args) => {
    const [x, gates, save] = args as unknown as [Tensor2D, Tensor2D, (tensors: Tensor[]) => void];
    save([x, gates, assignment]);
    return {
      value: groupMean(x, assignment, options),
      gradFunc: (dy: Tensor, saved: Tensor[]) => {
        const [x, gates, assignment] = saved as [Tensor2D, Tensor2D, Tensor1D];
        const along = options.groupSizes.map((_, expert) =>
          tf.sum(tf.mul(dy, groupMean(x, tf.fill([tokens], expert, 'int32'), options)), 1),
        );
        // A map that is its own transpose is its own gradient.
        return [groupMean(dy as Tensor2D, assignment, options), gradient(tf.stack(along, 1) as Tensor2D, gates, assignment)];
      },
    };
  });
  return mix(x, gates) as Tensor2D;
}

function mixByMeaning(k: Tensor2D, v: Tensor2D, assignment: Tensor1D, formats: readonly KvFormat[]): KeyValue<Tensor2D> {
  const { shape } = k;
  const [keys, values] = tf.tidy(() => {
    const column = (which: Tensor) => tf.reshape(tf.cast(which, 'float32'), [shape[0], 1]);
    const isPadding = () => column(tf.less(assignment, 0));
    const [keyHeads, valueHeads] = [k, v].map((x) => tf.reshape(x, [shape[0], formats[0]!.kvHeads, formats[0]!.headDim]));
    const parts = areNested(formats)
      ? [{ read: readNested(keyHeads!, valueHeads!, assignment, formats), isOwn: () => column(tf.greaterEqual(assignment, 0)) }]
      : formats.map((format, index) => ({
          read: format.decode(format.encode(keyHeads!, valueHeads!)), isOwn: () => column(tf.equal(assignment, index)),
        }));
    return (['k', 'v'] as const).map((kind) =>
      parts.reduce<Tensor>((sum, { read, isOwn }) => tf.add(sum, masked(tf.reshape(read[kind], shape), isOwn)), masked(kind === 'k' ? k : v, isPadding)),
    );
  }) as [Tensor2D, Tensor2D];
  return { k: keys, v: values };
}

/** @throws ArgumentError when there is no format, or rows do not hold the KV heads of one */
export function expectRows(who: string, { shape }: Tensor2D, formats: readonly KvFormat[]): void {
  if (formats.length === 0) throw new ArgumentError(`${who}: expected at least one format, got none`);
  const misfit = formats.find(({ kvHeads, headDim }) => shape[1] !== kvHeads * headDim);
  if (misfit) throw new ArgumentError(`${who}: expected rows of ${misfit.kvHeads} KV heads of ${misfit.headDim}, got a width of ${shape[1]}`);
}

/** x times a mask, which may come from what a router decided: no gradient passes to it. */
function masked(x: Tensor, mask: () => Tensor): Tensor {
  const multiply = tf.customGrad((...args) => {
    const [x, save] = args as unknown as [Tensor, (tensors: Tensor[]) => void];
    const factors = mask();
    save([factors]);
    return { value: tf.mul(x, factors), gradFunc: (dy: Tensor, saved: Tensor[]) => tf.mul(dy, saved[0]!) };
  });
  return multiply(x);
}

function areNested(formats: readonly KvFormat[]): boolean {
  return formats.every(({ nestedIn }) => nestedIn !== undefined && nestedIn === formats[0]!.nestedIn);
}

/** What each token's own of some nested formats gives back of it. @param k, v [tokens, KV heads, head dimension] */
function readNested(k: Tensor, v: Tensor, assignment: Tensor1D, formats: readonly KvFormat[]): KeyValue {
  const most = formats.reduce((most, format) => (format.stored.headDim > most.stored.headDim ? format : most));
  const stored = most.encode(k, v);
  if (formats.length === 1) return most.decode(stored);
  const numbers = most.stored.headDim;
  const kept = formats.flatMap(({ stored }) => Array.from({ length: numbers }, (_, i) => Number(i < stored.headDim)));
  const mask = () => {
    const rows = tf.gather(tf.tensor2d(kept, [formats.length, numbers]), tf.maximum(assignment, tf.scalar(0, 'int32')));
    return tf.reshape(rows, [assignment.size, 1, numbers]);
  };
  return most.decode(masked(stored, mask));
}
