import type { WasmKernel } from '../../wasm/kernel';
import { expectIds } from '../validate';

export const linearDistillationWasm: WasmKernel[] = [
  {
    name: 'MixsgaLinearDistillation',
    run: ({ x, w, teacherX, teacherW, targets }, { softCap, teacherSoftCap, weight }, heap) => {
      const [rows, size] = x!.shape as [number, number];
      const [vocabulary, teacherSize] = teacherW!.shape as [number, number];
      const ids = heap.int32View(targets!);
      expectIds('linearDistillation', 'targets', ids, -(2 ** 31), vocabulary);
      const counted = ids.reduce((count, id) => count + (id >= 0 ? 1 : 0), 0);
      const results = [[rows], [rows], [rows, size], [vocabulary, size]].map((shape) => heap.output(shape));
      const [nll, kl, dx, dw] = results.map((tensor) => heap.address(tensor)) as [number, number, number, number];
      const scratch = heap.scratch(heap.kernels.distillationScratch(size, teacherSize, vocabulary));
      heap.kernels.linearDistillation(
        heap.address(x!), heap.address(w!), heap.address(teacherX!), heap.address(teacherW!), heap.address(targets!), nll, kl, dx, dw,
        rows, size, teacherSize, vocabulary, counted, scratch, softCap as number, teacherSoftCap as number, weight as number,
      );
      return results;
    },
  },
];
