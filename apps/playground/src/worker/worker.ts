// The worker's end of the protocol: calls come in, events and one answer go out. See protocol.ts.
import './environment';
import { ArgumentError, BackendError, FileError } from '@mixsga/backend';
import type { Failure, FromWorker, Method, Methods, ToWorker } from '../protocol';
import { catalog } from './catalog';
import { Engine } from './engine';

type Handlers = {
  readonly [M in Method]: (
    request: Methods[M]['request'], emit: (event: Methods[M]['event']) => void, signal: AbortSignal,
  ) => Promise<Methods[M]['result']>;
};

// The page names its worker by the folder that the app's files are in.
const engine = new Engine(self.name);

const handlers: Handlers = {
  catalog: () => catalog(),
  open: (request, emit, signal) => inTurn(signal, () => engine.open(request, emit, signal)),
  plan: (request) => engine.plan(request),
  run: (request, emit, signal) => inTurn(signal, () => engine.run(request, emit, signal)),
};

/** The last of the calls that need the engine for themselves. */
let last: Promise<unknown> = Promise.resolve();

function inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const result = last.then(() => {
    signal.throwIfAborted();
    return work();
  });
  last = result.catch(() => undefined);
  return result;
}

const running = new Map<number, AbortController>();

async function answer(id: number, method: Method, request: unknown): Promise<void> {
  const aborter = new AbortController();
  running.set(id, aborter);
  const emit = (event: unknown) => postMessage({ id, event } as FromWorker);
  try {
    const handle = handlers[method] as (request: unknown, emit: (event: unknown) => void, signal: AbortSignal) => Promise<unknown>;
    const result = await handle(request, emit, aborter.signal);
    postMessage({ id, result } as FromWorker);
  } catch (error) {
    postMessage({ id, error: failureOf(error, aborter.signal) } satisfies FromWorker);
  } finally {
    running.delete(id);
  }
}

function failureOf(error: unknown, signal: AbortSignal): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (signal.aborted) return { kind: 'cancelled', message };
  if (ArgumentError.isInstance(error)) return { kind: 'argument', message };
  if (FileError.isInstance(error)) return { kind: 'file', message };
  return { kind: BackendError.isInstance(error) ? 'backend' : 'other', message };
}

addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if ('cancel' in data) running.get(data.cancel)?.abort();
  else void answer(data.id, data.method, data.request);
});
