import * as tf from '@tensorflow/tfjs-core';
import type { KernelConfig, KernelFunc, Tensor } from '@tensorflow/tfjs-core';

/**
 * Mends the matrix product of an active backend of tfjs 4.22, which counts on batches that are the same, or one of them a single
 * matrix: of others cpu and wasm compute some matrices only, and webgpu other ones. Does nothing the second time.
 */
export function mendMatMul(tfjsName: string): void {
  const stock = tf.getKernel(tf.BatchMatMul, tfjsName) as KernelConfig | undefined;
  if (!stock || mended.has(stock)) return;
  const config = { ...stock, kernelFunc: broadcasting(stock.kernelFunc) };
  tf.unregisterKernel(tf.BatchMatMul, tfjsName);
  tf.registerKernel(config);
  mended.add(config);
}

const mended = new WeakSet<KernelConfig>();

const broadcasting = (stock: KernelFunc): KernelFunc => (args) => {
  const { a, b } = args.inputs as Record<'a' | 'b', Tensor>;
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const isSingle = (batch: readonly number[]) => batch.every((size) => size === 1);
  if (isSingle(batchA) || isSingle(batchB) || batchA.join() === batchB.join()) return stock(args);
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  const whole = (x: Tensor) => tf.broadcastTo(x, [...batch, ...x.shape.slice(-2)]);
  const inputs = { a: whole(a), b: whole(b) };
  try {
    return stock({ ...args, inputs });
  } finally {
    tf.dispose(inputs);
  }
};
