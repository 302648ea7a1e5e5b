import { BackendError } from '../../errors';
import { activeHeap } from '../../wasm/register';
import { Block } from './memory';

const BYTES = 2 ** 28;

/**
 * Bytes a second, in GB (10⁹), that one thread reads in order from 256 MiB of the wasm heap: the ceiling of whatever reads
 * its memory once.
 *
 * @throws BackendError when the active backend is not wasm with its kernels
 */
export function streamingBandwidth(): number {
  const heap = activeHeap();
  if (!heap) throw new BackendError("streamingBandwidth: expected the wasm backend with its kernels; call startBackend('wasm') first");
  const block = new Block(heap, BYTES);
  try {
    heap.kernels.clearPage(block.address, BYTES); // so that every page of memory is really there
    const start = performance.now();
    heap.kernels.readStream(block.address, BYTES);
    return BYTES / 1e6 / (performance.now() - start);
  } finally {
    block.dispose();
  }
}
