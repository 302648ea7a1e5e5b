import { nextTask } from '@mixsga/backend';
import type { TensorSource } from './tensor-source';

/** The same tensors, of which none is read once the signal is aborted: between two, others have their turn. */
export function stoppableTensors(source: TensorSource, signal: AbortSignal | undefined): TensorSource {
  if (!signal) return source;
  const reading = async <T>(read: () => Promise<T>): Promise<T> => {
    await nextTask();
    signal.throwIfAborted();
    const result = await read();
    signal.throwIfAborted();
    return result;
  };
  return {
    where: source.where,
    tensors: source.tensors,
    has: (name) => source.has(name),
    read: (name) => reading(() => source.read(name)),
    readRaw: (name) => reading(() => source.readRaw(name)),
    close: () => source.close(),
  };
}
