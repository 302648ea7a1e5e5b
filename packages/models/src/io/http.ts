import { FileError } from '@mixsga/backend';
import { environmentFetch, isNode } from './environment';

/** How files are fetched. */
export interface HttpOptions {
  /** Sent to the origin of the address and to no other, wherever it redirects. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long a server may be silent, before its answer and within it; default 30 s. */
  readonly timeoutMs?: number | undefined;
}

/** Attempts without a byte of progress, before a download is given up. */
const ATTEMPTS = 5;
const FIRST_DELAY_MS = 250;
const SILENCE_MS = 30_000;
const MAX_REDIRECTS = 5;

/**
 * Bytes `begin` to `end` of what an address holds. A connection that is cut, or falls silent in its midst, is made again from the
 * byte that was reached, also when the server knows no ranges.
 * @throws FileError when the server refuses, does not answer at all, or nothing has come after {@link ATTEMPTS} attempts; the
 * signal's reason when it is aborted
 */
export async function* fetchRange(
  url: string, begin: number, end: number, options: HttpOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = begin;
  let failures = 0;
  while (at < end) {
    try {
      for await (const chunk of attempt(url, at, end, options)) {
        at += chunk.length;
        failures = 0;
        yield chunk;
      }
      if (at < end) throw new Error(`the connection ended ${end - at} bytes early`);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (FileError.isInstance(error)) throw error;
      if (++failures === ATTEMPTS) throw unreachable(url, error);
      await pause(FIRST_DELAY_MS * 2 ** (failures - 1), options.signal);
    }
  }
}

/** The size of what an address holds, by a request for its first byte. @throws FileError as {@link fetchRange} */
export async function sizeOfUrl(url: string, options: HttpOptions = {}): Promise<number> {
  const response = await request(url, { range: 'bytes=0-0' }, options).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    throw FileError.isInstance(error) ? error : unreachable(url, error);
  });
  await response.body?.cancel();
  refuseStatus(url, response);
  const size = Number(/^bytes 0-0\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? NaN);
  if (response.status === 206 && Number.isSafeInteger(size)) return size;
  if (response.status === 416) return 0;
  throw new FileError(url, 'expected a server that answers range requests (206), got none; serve it by another, or pass Blobs');
}

/** One connection: the bytes from `at` on, as many as come. */
async function* attempt(url: string, at: number, end: number, options: HttpOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const watch = new SilenceWatch(options);
  const response = await request(url, { range: `bytes=${at}-${end - 1}` }, options, watch);
  refuseStatus(url, response);
  if (response.status === 416) throw new FileError(url, `expected ${end} bytes, got fewer; has the file changed? fetch it again`);
  // A server that knows no ranges answers 200 with everything, of which the start is known already.
  let skip = response.status === 206 ? 0 : at;
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (!response.body || (response.status === 206 && Number(start) !== at)) {
    await response.body?.cancel();
    throw new FileError(url, `expected the bytes from ${at} on, got ${response.headers.get('content-range') ?? 'none'}`);
  }
  const reader = response.body.getReader();
  try {
    let left = end - at;
    while (left > 0) {
      const { done, value } = await watch.wait(reader.read(), (silence) => new Error(silence));
      if (done) return;
      const chunk = value.subarray(skip, skip + left);
      skip -= Math.min(skip, value.length);
      left -= chunk.length;
      if (chunk.length > 0) yield chunk;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Aborts a request whose server is silent for too long. */
export class SilenceWatch {
  /** For `fetch`: aborted with the caller's signal too. */
  readonly signal: AbortSignal;
  readonly #silent = new AbortController();
  readonly #timeoutMs: number;

  constructor({ signal, timeoutMs = SILENCE_MS }: HttpOptions) {
    this.signal = signal ? AbortSignal.any([signal, this.#silent.signal]) : this.#silent.signal;
    this.#timeoutMs = timeoutMs;
  }

  /** What a step of the request gives; when it takes too long, the request ends with the error that `toError` makes. */
  async wait<T>(step: Promise<T>, toError: (silence: string) => Error): Promise<T> {
    const silence = `nothing came for ${this.#timeoutMs / 1000} s`;
    const timer = setTimeout(() => this.#silent.abort(toError(silence)), this.#timeoutMs);
    return step.finally(() => clearTimeout(timer));
  }
}

/** A server that takes a request and does not answer it. */
export class SilentServerError extends FileError {
  constructor(url: string, silence: string) {
    super(url, `expected an answer, and ${silence}; check the connection and the proxy (HTTPS_PROXY, NO_PROXY), and run again`);
  }
}

/**
 * A GET request that follows redirects and gives the token to the first origin only.
 * @param watch ends the request while its body is read, if the caller goes on to wait by it
 * @throws FileError for a redirect that leads nowhere or from https to http, and for a server that does not answer; else what fetch
 * throws
 */
export async function request(
  url: string, headers: Record<string, string>, options: HttpOptions, watch = new SilenceWatch(options),
): Promise<Response> {
  const { token } = options;
  const send = await environmentFetch();
  const origin = new URL(url).origin;
  let target = url;
  for (let hops = 0; ; hops++) {
    const own = new URL(target).origin === origin;
    const answer = send(target, {
      headers: { 'accept-encoding': 'identity', ...headers, ...(token && own ? { authorization: `Bearer ${token}` } : {}) },
      // Browsers hide where a redirect leads, and drop the token themselves when it leads to another origin.
      redirect: isNode() ? 'manual' : 'follow',
      signal: watch.signal,
    });
    const response = await watch.wait(answer, (silence) => new SilentServerError(url, silence));
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    if (location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, target);
    if (hops === MAX_REDIRECTS) throw new FileError(url, `expected at most ${MAX_REDIRECTS} redirects, got more; check the address`);
    if (next.protocol !== 'https:' && (next.protocol !== 'http:' || new URL(target).protocol === 'https:')) {
      throw new FileError(url, `expected a redirect to https, got ${next.protocol}//${next.host}; check the address`);
    }
    target = next.href;
  }
}

/**
 * The body of an answer to {@link request}.
 * @param watch that of the request
 * @returns null when it has more bytes than `limit`
 */
export async function readBody(
  { body }: Response, limit: number, watch: SilenceWatch, toError: (silence: string) => Error,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = body?.getReader();
  while (reader) {
    const { done, value } = await watch.wait(reader.read(), toError);
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length <= limit) continue;
    await reader.cancel();
    return null;
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** A status that no other attempt would change. Those that may pass are thrown as plain errors, to be tried again. */
function refuseStatus(url: string, { status }: Response): void {
  if (status < 400 || status === 416) return;
  if (status === 408 || status === 429 || status >= 500) throw new Error(`the server answers ${status}`);
  throw new HttpStatusError(url, status);
}

/** The server refuses: its status, for whoever can say what to do about it. */
export class HttpStatusError extends FileError {
  constructor(
    url: string,
    readonly status: number,
  ) {
    super(url, `the server answers ${status}; check the address${status === 404 ? '' : ' and your access'}`);
  }
}

export function unreachable(url: string, error: unknown): FileError {
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FileError(url, `cannot be reached: ${reason}; check the connection and run again`, { cause: error });
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener('abort', done, { once: true });
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      if (signal?.aborted) reject(signal.reason as Error);
      else resolve();
    }
  });
}
