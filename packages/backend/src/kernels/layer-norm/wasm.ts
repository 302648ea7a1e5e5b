import type { WasmKernel } from '../../wasm/kernel';

export const layerNormWasm: WasmKernel[] = [
  {
    name: 'MixsgaLayerNorm',
    run: ({ x, gamma, beta }, { epsilon }, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const y = heap.output([rows, size]);
      const statistics = heap.output([rows, 2]);
      heap.kernels.layerNorm(
        heap.address(x!), heap.address(gamma!), heap.address(beta!), heap.address(y), heap.address(statistics),
        rows, size, epsilon as number,
      );
      return [y, statistics];
    },
  },
  {
    name: 'MixsgaLayerNormGradient',
    run: ({ x, gamma, statistics, dy }, _, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const dx = heap.output([rows, size]);
      const dgamma = heap.output([size]);
      const dbeta = heap.output([size]);
      heap.kernels.layerNormGradient(
        heap.address(x!), heap.address(gamma!), heap.address(statistics!), heap.address(dy!),
        heap.address(dx), heap.address(dgamma), heap.address(dbeta), rows, size,
      );
      return [dx, dgamma, dbeta];
    },
  },
];
