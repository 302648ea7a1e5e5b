import * as tf from '@tensorflow/tfjs-core';
import { ArgumentError, BackendError } from '../errors';
import { cuda } from './cuda';

/**
 * How long something that lives on the active backend can be used: until it is disposed, while its backend is the active one.
 * TensorFlow.js itself would read the memory of another backend, or follow references without end.
 */
export class Lifetime {
  readonly #backend = tf.getBackend();
  #ended = false;

  /** @param what such as `decoder`, and what to do without it */
  constructor(readonly what: string, readonly instead: string) {}

  /** @returns false the second time */
  end(): boolean {
    const before = this.#ended;
    this.#ended = true;
    return !before;
  }

  /**
   * To be called first by whatever uses it.
   * @param who the method, such as `CachedDecoder.step`
   * @throws ArgumentError after the end; BackendError while another backend is the active one
   */
  expect(who: string): void {
    if (this.#ended) throw new ArgumentError(`${who}: this ${this.what} is disposed; ${this.instead}`);
    const active = tf.getBackend();
    if (active === this.#backend) return;
    const [made, now] = [nameOf(this.#backend), nameOf(active)];
    throw new BackendError(`${who}: expected the backend ${made}, on which this ${this.what} was made, got ${now}; call startBackend('${made}') first, or ${this.instead}`);
  }
}

/**
 * To be called first by what begins to work on the active backend.
 * @throws BackendError when none is ready
 */
export function expectBackend(who: string): void {
  try {
    tf.backend();
  } catch (cause) {
    throw new BackendError(`${who}: expected a started backend, got none; call await startBackend('wasm') of @mixsga/backend first ('auto' takes the fastest)`, { cause });
  }
}

function nameOf(tfjsName: string): string {
  return tfjsName === cuda.tfjsName ? cuda.name : tfjsName;
}
