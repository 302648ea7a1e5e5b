import type { WasmKernel } from '../../wasm/kernel';

export const adamwWasm: WasmKernel[] = [
  {
    name: 'MixsgaAdamw',
    run: ({ parameter, gradient, first, second }, attributes, heap) => {
      const value = (name: string) => attributes[name] as number;
      const step = value('step');
      heap.kernels.adamw(
        heap.address(parameter!), heap.address(gradient!), heap.address(first!), heap.address(second!),
        parameter!.shape.reduce((a, b) => a * b, 1),
        value('learningRate'), value('beta1'), value('beta2'), value('epsilon'), value('weightDecay'),
        1 - value('beta1') ** step, 1 - value('beta2') ** step, value('gradientScale'),
      );
      return [];
    },
  },
  {
    name: 'MixsgaSumOfSquares',
    run: (inputs, _, heap) => {
      let sum = 0;
      for (const tensor of Object.values(inputs)) {
        sum += heap.kernels.sumOfSquares(heap.address(tensor!), tensor!.shape.reduce((a, b) => a * b, 1));
      }
      const scalar = heap.output([]);
      heap.writeFloat32(heap.address(scalar), sum);
      return [scalar];
    },
  },
];
