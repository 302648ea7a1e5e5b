import type { WasmKernel } from '../../wasm/kernel';

export const rmsNormWasm: WasmKernel[] = [
  {
    name: 'MixsgaRmsNorm',
    run: ({ x, gain }, { epsilon }, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const y = heap.output([rows, size]);
      heap.kernels.rmsNorm(heap.address(x!), heap.address(gain!), 0, heap.address(y), rows, size, epsilon as number);
      return [y];
    },
  },
  {
    name: 'MixsgaRmsNormGradient',
    run: ({ x, gain, dy }, { epsilon }, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const dx = heap.output([rows, size]);
      const dgain = heap.output([size]);
      heap.kernels.rmsNormGradient(
        heap.address(x!), heap.address(gain!), heap.address(dy!), heap.address(dx), heap.address(dgain), rows, size, epsilon as number,
      );
      return [dx, dgain];
    },
  },
];
