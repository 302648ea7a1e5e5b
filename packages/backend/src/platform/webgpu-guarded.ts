import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors';

/**
 * Makes what the WebGPU backend of tfjs 4.22 gets wrong an error: a matrix product of which both operands repeat
 * over different batch dimensions.
 */
export function guardWebgpuKernels(): void {
  const stock = tf.getKernel(tf.BatchMatMul, 'webgpu');
  if (!stock || stock.kernelFunc === guarded?.kernelFunc) return;
  guarded = {
    ...stock,
    kernelFunc: (args) => {
      const { a, b } = args.inputs as Record<'a' | 'b', tf.TensorInfo>;
      const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
      if (!broadcastsOneWay(batchA, batchB)) {
        throw new BackendError(
          `webgpu: matMul can't broadcast the batch dimensions of [${a.shape.join(', ')}] and [${b.shape.join(', ')}] ` +
            'both at once; tile one of them first',
        );
      }
      return stock.kernelFunc(args);
    },
  };
  tf.unregisterKernel(tf.BatchMatMul, 'webgpu');
  tf.registerKernel(guarded);
}

let guarded: tf.KernelConfig | null = null;

function broadcastsOneWay(a: readonly number[], b: readonly number[]): boolean {
  const size = (shape: readonly number[]) => shape.reduce((x, y) => x * y, 1);
  const whole = size(tf.broadcast_util.assertAndGetBroadcastShape([...a], [...b]));
  return size(a) === whole || size(b) === whole;
}
