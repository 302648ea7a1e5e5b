// Kernels that the wasm backend of tfjs 4.22 lacks or gets wrong, in TypeScript on its heap. Correct rather than
// fast: the operations of this package do not go through them.
import * as tf from '@tensorflow/tfjs-core';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelConfig, KernelFunc, Tensor, TensorInfo } from '@tensorflow/tfjs-core';

type Inputs<Name extends string> = Record<Name, TensorInfo>;
type Numbers = Float32Array | Int32Array | Uint8Array;

/** Registers them with tfjs; the wasm backend must have been started once. Does nothing the second time. */
export function mendWasmKernels(): void {
  for (const [kernelName, mend] of Object.entries(mended)) {
    const stock = tf.getKernel(kernelName, 'wasm') as KernelConfig | undefined;
    if (stock && ours.has(stock)) continue;
    const config: KernelConfig = { ...stock, kernelName, backendName: 'wasm', kernelFunc: mend(stock?.kernelFunc) };
    if (stock) tf.unregisterKernel(kernelName, 'wasm');
    tf.registerKernel(config);
    ours.add(config);
  }
}

const ours = new WeakSet<KernelConfig>();

const mended: Record<string, (stock: KernelFunc | undefined) => KernelFunc> = {
  // Missing. The gradient of gather is made of it. Segment ids outside 0 … numSegments − 1 are left out.
  [tf.UnsortedSegmentSum]: () => ({ inputs, attrs, backend }) => {
    const { x, segmentIds } = inputs as Inputs<'x' | 'segmentIds'>;
    const { numSegments } = attrs as unknown as tf.UnsortedSegmentSumAttrs;
    const rowShape = x.shape.slice(segmentIds.shape.length);
    const row = tf.util.sizeFromShape(rowShape);
    const out = make(backend, [numSegments, ...rowShape], x.dtype);
    const [from, ids, to] = [heap(backend, x), heap(backend, segmentIds), heap(backend, out)];
    to.fill(0);
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id < 0 || id >= numSegments) continue;
      for (let j = 0; j < row; j++) to[id * row + j]! += from[i * row + j]!;
    }
    return out;
  },

  // Writes int32 patterns whatever the dtype.
  [tf.OneHot]: () => ({ inputs, attrs, backend }) => {
    const { indices } = inputs as Inputs<'indices'>;
    const { dtype, depth, onValue, offValue } = attrs as unknown as tf.OneHotAttrs;
    const out = make(backend, [...indices.shape, depth], dtype);
    const [ids, to] = [heap(backend, indices), heap(backend, out)];
    to.fill(offValue);
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (id >= 0 && id < depth) to[i * depth + id] = onValue;
    }
    return out;
  },

  // Ignores batchDims when it computes addresses.
  [tf.GatherV2]: (stock) => (args) => {
    const { x, indices } = args.inputs as Inputs<'x' | 'indices'>;
    const { axis, batchDims } = args.attrs as unknown as tf.GatherV2Attrs;
    if (!batchDims) return stock!(args);
    const [at] = tf.util.parseAxisParam(axis, x.shape);
    const shape = tf.backend_util.segment_util.collectGatherOpShapeInfo(x as Tensor, indices as Tensor, at!, batchDims);
    const { batchSize, outerSize, dimSize, sliceSize, outputShape } = shape;
    const perBatch = tf.util.sizeFromShape(indices.shape) / batchSize;
    const out = make(args.backend, outputShape, x.dtype);
    const [from, ids, to] = [heap(args.backend, x), heap(args.backend, indices), heap(args.backend, out)];
    let write = 0;
    for (let batch = 0; batch < batchSize; batch++) {
      for (let outer = 0; outer < outerSize; outer++) {
        for (let i = 0; i < perBatch; i++) {
          const id = ids[batch * perBatch + i]!;
          tf.util.assert(id >= 0 && id < dimSize, () => `GatherV2: the index value ${id} is not in [0, ${dimSize - 1}]`);
          const read = ((batch * outerSize + outer) * dimSize + id) * sliceSize;
          to.set(from.subarray(read, read + sliceSize), write);
          write += sliceSize;
        }
      }
    }
    return out;
  },

  // Missing. Broadcasts every operand over all labels, multiplies, and sums what the output does not name.
  [tf.Einsum]: () => ({ inputs, attrs }) => {
    const { equation } = attrs as unknown as tf.EinsumAttrs;
    const operands = Object.values(inputs) as Tensor[];
    const { allDims, summedDims, idDims } = tf.backend_util.decodeEinsumEquation(equation, operands.length);
    tf.backend_util.checkEinsumDimSizes(allDims.length, idDims, operands);
    return tf.tidy(() => {
      const aligned = operands.map((operand, i) => align(operand, idDims[i]!, allDims.length));
      const product = aligned.reduce((left, right) => tf.mul(left, right));
      return tf.sum(product, summedDims);
    });
  },
};

/** Transposes to the order of the equation's labels, with size 1 at labels that the operand lacks. */
function align(operand: Tensor, labels: readonly number[], labelCount: number): Tensor {
  const order = labels.map((_, axis) => axis).sort((a, b) => labels[a]! - labels[b]!);
  const shape = Array.from({ length: labelCount }, (_, label) => operand.shape[labels.indexOf(label)] ?? 1);
  return tf.reshape(tf.transpose(operand, order), shape);
}

function make(backend: unknown, shape: number[], dtype: tf.DataType): TensorInfo {
  return (backend as BackendWasm).makeOutput(shape, dtype);
}

function heap(backend: unknown, tensor: TensorInfo): Numbers {
  return (backend as BackendWasm).typedArrayFromHeap(tensor) as Numbers;
}
