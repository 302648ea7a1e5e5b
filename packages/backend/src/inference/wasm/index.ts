import { activeHeap } from '../../wasm/register';
import type { InferenceRuntime } from '../runtime';
import { WasmRuntime } from './runtime';

export { streamingBandwidth } from './bandwidth';

/** The runtime on the kernels of the active wasm backend; null where there are none. */
export function createWasmRuntime(): InferenceRuntime | null {
  const heap = activeHeap();
  return heap && new WasmRuntime(heap);
}
