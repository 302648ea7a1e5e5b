import type { WasmKernel } from '../../wasm/kernel';

export const linearWasm: WasmKernel[] = [
  {
    name: 'MixsgaLinear',
    run: ({ x, w, bias }, { relu }, heap) => {
      const [rows, inputs] = x!.shape as [number, number];
      const outputs = w!.shape[0]!;
      const y = heap.output([rows, outputs]);
      const scratch = heap.scratch(heap.kernels.linearScratch(rows, inputs, outputs));
      heap.kernels.linear(
        heap.address(x!), heap.address(w!), bias ? heap.address(bias) : 0, heap.address(y),
        rows, inputs, outputs, relu as boolean, scratch,
      );
      return [y];
    },
  },
  {
    name: 'MixsgaLinearGradient',
    run: ({ x, w, y, dy }, { relu, bias }, heap) => {
      const [rows, inputs] = x!.shape as [number, number];
      const outputs = w!.shape[0]!;
      const dx = heap.output([rows, inputs]);
      const dw = heap.output([outputs, inputs]);
      const dbias = bias ? heap.output([outputs]) : null;
      const scratch = heap.scratch(heap.kernels.linearScratch(rows, inputs, outputs));
      heap.kernels.linearGradient(
        heap.address(x!), heap.address(w!), heap.address(y!), heap.address(dy!), heap.address(dx), heap.address(dw),
        dbias ? heap.address(dbias) : 0, rows, inputs, outputs, relu as boolean, scratch,
      );
      return dbias ? [dx, dw, dbias] : [dx, dw];
    },
  },
];
