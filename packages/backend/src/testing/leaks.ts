import { MixsgaError } from '../errors';
import { trackTensors } from '../platform/tensors';

/**
 * Runs `f` on the active backend and fails when it leaves tensors or buffers behind, or disposes ones that are not
 * its own.
 *
 * @param keeps tensors that it is meant to leave: those of its result
 * @returns what `f` returns
 * @throws MixsgaError naming what was left
 */
export async function expectNoLeaks<T>(f: () => T | Promise<T>, { keeps = 0 }: { keeps?: number } = {}): Promise<T> {
  const { result, tensors, bytes, buffers } = await trackTensors(f);
  if (tensors !== keeps || buffers > keeps) {
    throw new MixsgaError(
      `expectNoLeaks: expected ${keeps} tensors to be left, got ${tensors} (${bytes} bytes, ${buffers} buffers of the ` +
        'backend); dispose what was made, or wrap it in tf.tidy',
    );
  }
  return result;
}
