import type { WasmKernel } from '../../wasm/kernel';
import { expectIds } from '../validate';

export const groupMeanWasm: WasmKernel[] = [
  {
    name: 'MixsgaGroupMean',
    run: ({ x, assignment }, attributes, heap) => {
      const headDim = attributes['headDim'] as number;
      const groupSizes = attributes['groupSizes'] as number[];
      const [tokens, width] = x!.shape as [number, number];
      expectIds('groupMean', 'assignment', heap.int32View(assignment!), -(2 ** 31), groupSizes.length);
      const y = heap.output([tokens, width]);
      const sizes = heap.scratch(groupSizes.length);
      heap.int32s(sizes, groupSizes.length).set(groupSizes);
      heap.kernels.groupMean(
        heap.address(x!), heap.address(assignment!), sizes, heap.address(y), tokens, width / headDim, headDim,
        attributes['root'] as boolean,
      );
      return [y];
    },
  },
];
