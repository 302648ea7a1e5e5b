// The page's end of the protocol.
import type { EventOf, Failure, FromWorker, Method, RequestOf, ResultOf, ToWorker } from './protocol';
import workerUrl from './worker/worker?worker&url';

/** An answer that is an error. */
export class CallError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
    this.name = 'CallError';
  }
}

export interface Call<M extends Method> {
  readonly result: Promise<ResultOf<M>>;
  cancel(): void;
}

interface Pending {
  readonly onEvent: (event: never) => void;
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

export class Client {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  /** @param onCrash called when the worker itself fails; its calls end with errors */
  constructor(onCrash: (message: string) => void) {
    const address = new URL(workerUrl, location.href).href;
    // A worker made from a blob has the policy of its page; one from an address would have that of its own headers, here none.
    const entry = URL.createObjectURL(new Blob([`import ${JSON.stringify(address)};`], { type: 'text/javascript' }));
    this.#worker = new Worker(entry, { type: 'module', name: new URL('.', location.href.split('#')[0]).href });
    this.#worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => this.#receive(data));
    this.#worker.addEventListener('error', (event) => {
      const message = event.message || 'the worker did not load; reload the page';
      for (const { reject } of this.#pending.values()) reject(new CallError({ kind: 'other', message }));
      this.#pending.clear();
      onCrash(message);
    });
  }

  /** @returns its result, which rejects with a {@link CallError} */
  call<M extends Method>(method: M, request: RequestOf<M>, onEvent: (event: EventOf<M>) => void = () => {}): Call<M> {
    const id = ++this.#lastId;
    const result = new Promise<ResultOf<M>>((resolve, reject) => {
      this.#pending.set(id, { onEvent, resolve, reject } as Pending);
    });
    this.#send({ id, method, request } as ToWorker);
    return { result, cancel: () => this.#send({ cancel: id }) };
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ('event' in message) return pending.onEvent(message.event as never);
    this.#pending.delete(message.id);
    if ('error' in message) pending.reject(new CallError(message.error));
    else pending.resolve(message.result as never);
  }
}
