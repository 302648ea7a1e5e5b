import type { WasmKernel } from '../../wasm/kernel';
import { expectIds } from '../validate';

export const embeddingWasm: WasmKernel[] = [
  {
    name: 'MixsgaEmbedding',
    run: ({ table, ids }, _, heap) => {
      const [rows, size] = table!.shape as [number, number];
      const count = ids!.shape[0]!;
      expectIds('embedding', 'ids', heap.int32View(ids!), 0, rows);
      const y = heap.output([count, size]);
      heap.kernels.gatherRows(heap.address(table!), heap.address(ids!), heap.address(y), count, size);
      return [y];
    },
  },
  {
    name: 'MixsgaEmbeddingGradient',
    run: ({ dy, ids }, { rows }, heap) => {
      const [count, size] = dy!.shape as [number, number];
      const table = heap.output([rows as number, size]);
      heap.kernels.scatterAddRows(
        heap.address(dy!), heap.address(ids!), heap.address(table), count, size, rows as number,
      );
      return [table];
    },
  },
];
