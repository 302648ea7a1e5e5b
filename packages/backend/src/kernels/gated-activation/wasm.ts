import type { WasmKernel } from '../../wasm/kernel';
import type { GateActivation } from './reference';

/** The numbers of assembly/elementwise.ts. */
const numberOf: Readonly<Record<GateActivation, number>> = { silu: 2, gelu: 3 };

export const gatedActivationWasm: WasmKernel[] = [
  {
    name: 'MixsgaGatedActivation',
    run: ({ gate, up }, { activation }, heap) => {
      const [rows, size] = gate!.shape as [number, number];
      const y = heap.output([rows, size]);
      const kind = numberOf[activation as GateActivation];
      heap.kernels.gatedActivation(heap.address(gate!), heap.address(up!), heap.address(y), rows * size, kind);
      return [y];
    },
  },
  {
    name: 'MixsgaGatedActivationGradient',
    run: ({ gate, up, dy }, { activation }, heap) => {
      const [rows, size] = gate!.shape as [number, number];
      const dgate = heap.output([rows, size]);
      const dup = heap.output([rows, size]);
      heap.kernels.gatedActivationGradient(
        heap.address(gate!), heap.address(up!), heap.address(dy!), heap.address(dgate), heap.address(dup),
        rows * size, numberOf[activation as GateActivation],
      );
      return [dgate, dup];
    },
  },
];
