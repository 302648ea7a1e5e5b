import type { NamedAttrMap } from '@tensorflow/tfjs-core';
import type { WasmKernel } from '../../wasm/kernel';

interface Attributes extends NamedAttrMap {
  batch: number;
  heads: number;
  kvHeads: number;
  scale: number;
  /** Tokens that a query sees. */
  window: number;
  /** 0 for none. */
  softCap: number;
}

export const causalAttentionWasm: WasmKernel[] = [
  {
    name: 'MixsgaCausalAttention',
    run: ({ q, k, v }, attributes, heap) => {
      const { batch, heads, kvHeads, scale, window, softCap } = attributes as Attributes;
      const [rows, width] = q!.shape as [number, number];
      const length = rows / batch;
      const headDim = width / heads;
      const out = heap.output([rows, width]);
      const logSumExp = heap.output([batch, heads, length]);
      const scratch = heap.scratch(heap.kernels.attentionScratch(length, headDim));
      heap.kernels.causalAttention(
        heap.address(q!), heap.address(k!), heap.address(v!), heap.address(out), heap.address(logSumExp),
        batch, length, heads, kvHeads, headDim, scale, scratch, 0,
        window, softCap, length, 0, kvHeads,
      );
      return [out, logSumExp];
    },
  },
  {
    name: 'MixsgaCausalAttentionGradient',
    run: ({ q, k, v, logSumExp, dy }, attributes, heap) => {
      const { batch, heads, kvHeads, scale, window, softCap } = attributes as Attributes;
      const [rows, width] = q!.shape as [number, number];
      const length = rows / batch;
      const headDim = width / heads;
      const dq = heap.output([rows, width]);
      const dk = heap.output([rows, kvHeads * headDim]);
      const dv = heap.output([rows, kvHeads * headDim]);
      const scratch = heap.scratch(heap.kernels.attentionScratch(length, headDim));
      heap.kernels.causalAttentionGradient(
        heap.address(q!), heap.address(k!), heap.address(v!), heap.address(logSumExp!), heap.address(dy!),
        heap.address(dq), heap.address(dk), heap.address(dv),
        batch, length, heads, kvHeads, headDim, scale, scratch, window, softCap,
      );
      return [dq, dk, dv];
    },
  },
];
