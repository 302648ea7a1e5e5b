import { FileError } from '@mixsga/backend';

/** How files are fetched. */
export interface HttpOptions {
  /** Sent to the origin of the address and to no other, wherever it redirects. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Attempts without a byte of progress, before a download is given up. */
const ATTEMPTS = 5;
const FIRST_DELAY_MS = 250;
/** A connection that brings nothing for so long counts as cut. */
const STALL_MS = 60_000;
const MAX_REDIRECTS = 5;

/**
 * Bytes `begin` to `end` of what an address holds. A connection that is cut is made again from the byte that was
 * reached, also when the server knows no ranges.
 * @throws FileError when the server refuses or nothing has come after {@link ATTEMPTS} attempts; the signal's reason
 * when it is aborted
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
  const stalled = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stalled.signal]) : stalled.signal;
  const watch = async <T>(step: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => stalled.abort(new Error(`nothing came for ${STALL_MS / 1000} s`)), STALL_MS);
    return step.finally(() => clearTimeout(timer));
  };
  const response = await watch(request(url, { range: `bytes=${at}-${end - 1}` }, { ...options, signal }));
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
      const { done, value } = await watch(reader.read());
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

/**
 * A GET request that follows redirects and gives the token to the first origin only.
 * @throws FileError for a redirect that leads nowhere or from https to http; else what fetch throws
 */
export async function request(url: string, headers: Record<string, string>, { token, signal }: HttpOptions): Promise<Response> {
  const origin = new URL(url).origin;
  let target = url;
  for (let hops = 0; ; hops++) {
    const own = new URL(target).origin === origin;
    const response = await fetch(target, {
      headers: { 'accept-encoding': 'identity', ...headers, ...(token && own ? { authorization: `Bearer ${token}` } : {}) },
      // Browsers hide where a redirect leads, and drop the token themselves when it leads to another origin.
      redirect: isNode() ? 'manual' : 'follow',
      signal: signal ?? null,
    });
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
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FileError(url, `cannot be reached: ${reason}; check the connection and run again`, { cause: error });
}

export function isNode(): boolean {
  return typeof process !== 'undefined' && process.versions?.node !== undefined;
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
