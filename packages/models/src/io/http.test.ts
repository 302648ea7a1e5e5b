import { FileError } from '@mixsga/backend';
import { getEventListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openUrl, readAll } from './byte-source';
import { fetchRange, HttpStatusError, readBody, request, SilenceWatch, sizeOfUrl, type HttpOptions } from './http';

const CONTENT = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

type Answer = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

class Site {
  readonly requests: { readonly url: string; readonly range: string | undefined; readonly token: string | undefined }[] = [];
  answer: Answer = ranged();
  readonly #server: Server = createServer((incoming, outgoing) => {
    const { range, authorization } = incoming.headers;
    this.requests.push({ url: incoming.url!, range, token: authorization });
    this.answer(incoming, outgoing);
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get ranges(): (string | undefined)[] {
    return this.requests.map(({ range }) => range);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers with the range, of which the connection ends after a number of bytes; `cuts` has one number for each answer. */
function ranged(...cuts: number[]): Answer {
  return (incoming, outgoing) => {
    const [, begin, last] = /^bytes=(\d+)-(\d+)$/.exec(incoming.headers.range ?? '')!.map(Number) as [number, number, number];
    const part = CONTENT.subarray(begin, last + 1);
    outgoing.writeHead(206, { 'content-range': `bytes ${begin}-${last}/${CONTENT.length}`, 'content-length': part.length });
    const cut = cuts.shift();
    if (cut === undefined) outgoing.end(part);
    else outgoing.write(part.subarray(0, cut), () => setTimeout(() => outgoing.destroy(), 20));
  };
}

const status = (code: number, headers: Record<string, string> = {}, body = ''): Answer => (_, outgoing) => void outgoing.writeHead(code, headers).end(body);

let site: Site;
beforeEach(async () => {
  for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']) vi.stubEnv(name, undefined);
  site = await new Site().start();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await site.stop();
});

async function bytesOf(begin: number, end: number, options?: HttpOptions): Promise<number[]> {
  const bytes: number[] = [];
  for await (const chunk of fetchRange(`${site.origin}/file`, begin, end, options)) bytes.push(...chunk);
  return bytes;
}

const part = (begin: number, end: number) => [...CONTENT.subarray(begin, end)];

async function errorOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(() => expect.unreachable(), (e: unknown) => e);
  return error as Error;
}

describe('fetchRange', () => {
  it('asks for the range and no more', async () => {
    expect(await bytesOf(3, 10)).toEqual(part(3, 10));
    expect(await bytesOf(0, 1)).toEqual(part(0, 1));
    expect(await bytesOf(999, 1000)).toEqual(part(999, 1000));
    expect(await bytesOf(7, 7)).toEqual([]);
    expect(site.ranges).toEqual(['bytes=3-9', 'bytes=0-0', 'bytes=999-999']);
  });

  it('takes its part of what a server without ranges sends, in whatever pieces', async () => {
    for (const piece of [1, 7, 300, 1000]) {
      site.answer = (_, outgoing) => {
        outgoing.writeHead(200);
        for (let at = 0; at < CONTENT.length; at += piece) outgoing.write(CONTENT.subarray(at, at + piece));
        outgoing.end();
      };
      expect(await bytesOf(0, 20)).toEqual(part(0, 20));
      expect(await bytesOf(299, 611)).toEqual(part(299, 611));
      expect(await bytesOf(980, 1000)).toEqual(part(980, 1000));
    }
    expect(site.requests).toHaveLength(12);
  });

  it('resumes from the byte that was reached, as often as there is progress', async () => {
    site.answer = ranged(1, 2, 1, 1, 1, 1);
    expect(await bytesOf(10, 30)).toEqual(part(10, 30));
    expect(site.ranges).toEqual(['bytes=10-29', 'bytes=11-29', 'bytes=13-29', 'bytes=14-29', 'bytes=15-29', 'bytes=16-29', 'bytes=17-29']);
  });

  it('gives up after five attempts without any, each after twice the time', async () => {
    const statuses = [500, 408, 429, 503, 599];
    const at: number[] = [];
    site.answer = (incoming, outgoing) => {
      at.push(performance.now());
      status(statuses[at.length - 1]!)(incoming, outgoing);
    };
    const error = await errorOf(bytesOf(0, 10));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toBe(`${site.origin}/file: cannot be reached: the server answers 599; check the connection and run again`);
    expect(at).toHaveLength(5);
    const waits = at.slice(1).map((time, i) => time - at[i]!);
    // A timer may be a millisecond early.
    for (const [i, least] of [250, 500, 1000, 2000].entries()) expect(waits[i]).toBeGreaterThan(least - 5);
  });

  it.each([400, 401, 403, 404, 410, 499])('does not try a status of %d again', async (code) => {
    site.answer = status(code);
    const error = await errorOf(bytesOf(0, 10));
    expect(error).toBeInstanceOf(HttpStatusError);
    expect((error as HttpStatusError).status).toBe(code);
    expect(error.message).toBe(`${site.origin}/file: the server answers ${code}; check the address${code === 404 ? '' : ' and your access'}`);
    expect(site.requests).toHaveLength(1);
  });

  it.each<[string, Answer, string]>([
    ['a file that is shorter now', status(416), 'expected 10 bytes, got fewer; has the file changed? fetch it again'],
    ['another part', status(206, { 'content-range': 'bytes 3-9/1000' }, '3456789'), 'expected the bytes from 2 on, got bytes 3-9/1000'],
    ['a part without its place', status(206, {}, '23456789'), 'expected the bytes from 2 on, got none'],
    ['no content', status(204), 'expected the bytes from 2 on, got none'],
  ])('refuses %s', async (_, answer, message) => {
    site.answer = answer;
    const error = await errorOf(bytesOf(2, 10));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toBe(`${site.origin}/file: ${message}`);
    expect(site.requests).toHaveLength(1);
  });

  it('ends with the reason of its signal, also between two attempts, and leaves it without listeners', async () => {
    const controller = new AbortController();
    site.answer = status(500);
    const error = errorOf(bytesOf(0, 10, { signal: controller.signal }));
    await vi.waitFor(() => expect(getEventListeners(controller.signal, 'abort').length).toBeGreaterThan(0), { timeout: 60_000, interval: 1 });
    await vi.waitFor(() => expect(site.requests).toHaveLength(2), { timeout: 60_000, interval: 1 });
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await error).toBe(reason);
    expect(site.requests).toHaveLength(2);
    expect(await errorOf(bytesOf(0, 10, { signal: controller.signal }))).toBe(reason);
  });
});

describe('sizeOfUrl', () => {
  const size = () => sizeOfUrl(`${site.origin}/file`);

  it('is that of the whole, by a request for its first byte', async () => {
    expect(await size()).toBe(1000);
    expect(site.ranges).toEqual(['bytes=0-0']);
    site.answer = status(416, { 'content-range': 'bytes */0' });
    expect(await size()).toBe(0);
  });

  it.each<[string, Answer]>([
    ['sends everything', status(200, {}, 'all')],
    ['sends everything and names a range', status(200, { 'content-range': 'bytes 0-0/5' }, 'all')],
    ['does not know the size', status(206, { 'content-range': 'bytes 0-0/*' }, 'a')],
    ['names a size beyond all numbers', status(206, { 'content-range': `bytes 0-0/${'9'.repeat(20)}` }, 'a')],
    ['names no range', status(206, {}, 'a')],
  ])('is refused of a server that %s', async (_, answer) => {
    site.answer = answer;
    expect((await errorOf(size())).message).toBe(`${site.origin}/file: expected a server that answers range requests (206), got none; serve it by another, or pass Blobs`);
  });

  it('says which server refuses or cannot be reached', async () => {
    site.answer = status(403);
    expect(await errorOf(size())).toBeInstanceOf(HttpStatusError);
    const url = `${site.origin}/file`;
    await site.stop();
    const error = await errorOf(sizeOfUrl(url));
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/file: cannot be reached: .*ECONNREFUSED.*; check the connection and run again$/);
    const reason = new Error('enough');
    expect(await errorOf(sizeOfUrl(url, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    site = await new Site().start();
  });
});

describe('redirects', () => {
  const chain = (length: number): Answer => (incoming, outgoing) => {
    const hop = Number(incoming.url!.slice(1));
    if (hop < length) outgoing.writeHead(302, { location: `/${hop + 1}` }).end();
    else outgoing.end('here');
  };

  it('are followed five times', async () => {
    site.answer = chain(5);
    expect(await (await request(`${site.origin}/0`, {}, {})).text()).toBe('here');
    site.answer = chain(6);
    const error = await errorOf(request(`${site.origin}/0`, {}, {}));
    expect(error.message).toBe(`${site.origin}/0: expected at most 5 redirects, got more; check the address`);
    expect(site.requests.map(({ url }) => url)).toEqual(['/0', '/1', '/2', '/3', '/4', '/5', '/0', '/1', '/2', '/3', '/4', '/5']);
  });

  it('give the token to the first origin, also on the way back, and to no other', async () => {
    const other = await new Site().start();
    try {
      site.answer = (incoming, outgoing) => (incoming.url === '/a' ? status(307, { location: `${other.origin}/b` }) : status(200))(incoming, outgoing);
      other.answer = status(308, { location: `${site.origin}/c` });
      expect((await request(`${site.origin}/a`, { 'x-more': '1' }, { token: 'secret' })).status).toBe(200);
      expect(site.requests.map(({ url, token }) => [url, token])).toEqual([['/a', 'Bearer secret'], ['/c', 'Bearer secret']]);
      expect(other.requests.map(({ url, token }) => [url, token])).toEqual([['/b', undefined]]);
      await request(`${site.origin}/c`, {}, { token: '' });
      expect(site.requests.at(-1)!.token).toBe(undefined);
    } finally {
      await other.stop();
    }
  });

  it.each(['ftp://example.com/x', 'file:///etc/passwd'])('to %s are refused', async (location) => {
    site.answer = status(302, { location });
    const { protocol, host } = new URL(location);
    expect((await errorOf(request(`${site.origin}/a`, {}, {}))).message).toBe(`${site.origin}/a: expected a redirect to https, got ${protocol}//${host}; check the address`);
  });

  it('without a location are answers, and other statuses with one too', async () => {
    for (const [code, headers] of [[304, {}], [300, {}], [201, { location: '/b' }], [400, { location: '/b' }], [404, { location: '/b' }]] as const) {
      site.answer = status(code, headers);
      expect((await request(`${site.origin}/a`, {}, {})).status).toBe(code);
    }
    for (const code of [300, 399]) {
      site.answer = (incoming, outgoing) => status(incoming.url === '/a' ? code : 200, { location: '/b' })(incoming, outgoing);
      expect((await request(`${site.origin}/a`, {}, {})).status).toBe(200);
    }
  });
});

describe('silence', () => {
  it('of 30 seconds ends a request', async () => {
    vi.useFakeTimers();
    try {
      const watch = new SilenceWatch({});
      const toError = (silence: string) => new Error(silence);
      void watch.wait(new Promise(() => undefined), toError);
      await vi.advanceTimersByTimeAsync(29_999);
      expect(watch.signal.aborted).toBe(false);
      await vi.advanceTimersByTimeAsync(1);
      expect((watch.signal.reason as Error).message).toBe('nothing came for 30 s');
      const patient = new SilenceWatch({});
      await patient.wait(Promise.resolve(), toError);
      await vi.advanceTimersByTimeAsync(60_000);
      expect(patient.signal.aborted).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  it('before an answer is an error of its own, and none of the caller who aborts', async () => {
    site.answer = () => undefined;
    const error = await errorOf(request(`${site.origin}/a`, {}, { timeoutMs: 50 }));
    expect(error.message).toBe(`${site.origin}/a: expected an answer, and nothing came for 0.05 s; check the connection and the proxy (HTTPS_PROXY, NO_PROXY), and run again`);
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted = errorOf(request(`${site.origin}/a`, {}, { signal: controller.signal }));
    controller.abort(reason);
    expect(await aborted).toBe(reason);
  });

  it('within an answer is a failed attempt', async () => {
    let answers = 0;
    site.answer = (incoming, outgoing) => {
      if (++answers > 1) return ranged()(incoming, outgoing);
      outgoing.writeHead(206, { 'content-range': 'bytes 0-9/1000' });
      outgoing.write(CONTENT.subarray(0, 4));
    };
    expect(await bytesOf(0, 10, { timeoutMs: 300 })).toEqual(part(0, 10));
    expect(site.ranges).toEqual(['bytes=0-9', 'bytes=4-9']);
  });
});

describe('readBody', () => {
  const read = (limit: number, body: string | null = 'twelve bytes') => readBody(new Response(body), limit, new SilenceWatch({}), (silence) => new Error(silence));

  it('takes as many bytes as the limit', async () => {
    const text = async (limit: number) => new TextDecoder().decode((await read(limit))!);
    expect([await text(12), await text(13)]).toEqual(['twelve bytes', 'twelve bytes']);
    expect(await read(11)).toBe(null);
    expect(await read(0, null)).toEqual(new Uint8Array(0));
  });

  it('lets go of a longer one', async () => {
    let pulled = 0;
    const cancel = vi.fn();
    const endless = new ReadableStream({ pull: (controller) => (pulled++, controller.enqueue(new Uint8Array(10))), cancel });
    expect(await readBody(new Response(endless), 25, new SilenceWatch({}), (silence) => new Error(silence))).toBe(null);
    expect(pulled).toBeLessThan(6);
    expect(cancel).toHaveBeenCalledTimes(1);
  });
});

describe('openUrl', () => {
  it('is read in parts', async () => {
    const source = await openUrl(`${site.origin}/file`);
    expect([source.where, source.size]).toEqual([`${site.origin}/file`, 1000]);
    site.answer = ranged(3, 300);
    expect(await readAll(source, 1000)).toEqual(CONTENT);
    const target = new Uint8Array(5);
    await source.readInto(target, 990);
    expect([...target]).toEqual(part(990, 995));
    expect((await errorOf(readAll(source, 999))).message).toBe(`${site.origin}/file: expected at most 999 bytes, got 1000; is it the file that its name says?`);
    await source.close();
  });
});
