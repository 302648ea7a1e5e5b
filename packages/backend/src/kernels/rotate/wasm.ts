import type { WasmKernel } from '../../wasm/kernel';

export const rotateWasm: WasmKernel[] = [
  {
    name: 'MixsgaRotate',
    run: ({ x, angles }, _, heap) => {
      const [rows, width] = x!.shape as [number, number];
      const [length, headDim] = angles!.shape as [number, number];
      const y = heap.output([rows, width]);
      const [from, to, size] = [heap.address(x!), heap.address(y), rows * width];
      heap.floats(to, size).set(heap.floats(from, size));
      const bytes = length * width * 4;
      for (let sequence = 0; sequence < rows / length; sequence++) {
        heap.kernels.rotate(to + sequence * bytes, heap.address(angles!), length, width / headDim, headDim);
      }
      return [y];
    },
  },
];
