import { BackendError } from './errors';

/** Memory that neither the heap of a backend nor the machine has. */
export class OutOfMemoryError extends BackendError {
  static override readonly kind: string = 'OutOfMemoryError';
}

/** What engines, emscripten and devices say of it. */
const SAID = /array buffer allocation failed|out of memory|could not allocate memory|maximum memory size exceeded|unable to grow|allocation size overflow|^aborted\(/i;

/** Whether an error says that memory is used up, in whatever words. */
export function isOutOfMemory(error: unknown): boolean {
  return OutOfMemoryError.isInstance(error) || (error instanceof Error && SAID.test(error.message));
}

/**
 * Runs a body; when memory is used up, the error is one line that says for what, and what to lower.
 * @param task such as `training: step 3 with 8 windows of 512 tokens`, read when it fails
 * @throws OutOfMemoryError; other errors as they are
 */
export async function namingMemory<T>(task: () => string, advice: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (!isOutOfMemory(error)) throw error;
    throw new OutOfMemoryError(`${task()}: expected to fit into memory, and there is none left; ${advice}`, { cause: error });
  }
}
