import type { WasmKernel } from '../../wasm/kernel';
import { expectIds } from '../validate';

export const linearCrossEntropyWasm: WasmKernel[] = [
  {
    name: 'MixsgaLinearCrossEntropy',
    run: ({ x, w, targets }, { gradient, softCap }, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const vocabulary = w!.shape[0]!;
      const ids = heap.int32View(targets!);
      expectIds(gradient ? 'linearCrossEntropy' : 'tokenNll', 'targets', ids, -(2 ** 31), vocabulary);
      const counted = ids.reduce((count, id) => count + (id >= 0 ? 1 : 0), 0);
      const nll = heap.output([rows]);
      const gradients = gradient ? [heap.output([rows, size]), heap.output([vocabulary, size])] : [];
      const [dx, dw] = gradients.map((tensor) => heap.address(tensor));
      const scratch = heap.scratch(heap.kernels.crossEntropyScratch(size, vocabulary, gradient as boolean));
      heap.kernels.linearCrossEntropy(
        heap.address(x!), heap.address(w!), heap.address(targets!), heap.address(nll), dx ?? 0, dw ?? 0,
        rows, size, vocabulary, counted, scratch, softCap as number,
      );
      return [nll, ...gradients];
    },
  },
];
