import type { WasmKernel } from '../../wasm/kernel';
import { expertCapacity } from './capacity';

export const expertChoiceWasm: WasmKernel[] = [
  {
    name: 'MixsgaExpertChoice',
    run: ({ scores, mask }, attributes, heap) => {
      const ratios = attributes['ratios'] as number[];
      const [batch, length, experts] = scores!.shape as [number, number, number];
      const assignment = heap.output([batch, length], 'int32');
      const histogram = heap.scratch(256 + experts);
      const capacities = histogram + 1024;
      for (let b = 0; b < batch; b++) {
        const real = mask
          ? heap.int32View(mask).subarray(b * length, (b + 1) * length).reduce((n, m) => n + (m === 0 ? 0 : 1), 0)
          : length;
        heap.int32s(capacities, ratios.length).set(ratios.map((ratio) => expertCapacity(ratio, real)));
        heap.kernels.expertChoice(
          heap.address(scores!) + b * length * experts * 4, mask ? heap.address(mask) + b * length * 4 : 0,
          capacities, heap.address(assignment) + b * length * 4, length, experts, histogram,
        );
      }
      return [assignment];
    },
  },
];
