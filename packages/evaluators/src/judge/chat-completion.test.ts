import { ArgumentError, FileError } from '@mixsga/backend';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { chatCompletion, type ChatEndpoint, endpointSettings } from './chat-completion';

const url = 'http://localhost:8080/v1';
const said = (content: unknown) => new Response(JSON.stringify({ choices: [{ message: { content } }] }));
const status = (code: number, headers: Record<string, string> = {}, body = 'no') => new Response(body, { status: code, headers });

/** An endpoint that gives these answers, one after the other and the last again and again. */
function endpoint(answers: (Response | Error)[], options: Partial<ChatEndpoint> = {}) {
  const send = vi.fn(async () => {
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (answer instanceof Error) throw answer;
    // What is cut short cannot be a copy: its original would wait for the rest.
    return options.retries === 0 ? answer : answer.clone();
  });
  return { send, settings: endpointSettings({ url, model: 'm', fetch: send as unknown as typeof fetch, ...options }) };
}

describe('settings of an endpoint', () => {
  it('have defaults, and an address without slashes at its end', () => {
    expect(endpointSettings({ url: `${url}//`, model: 'm' })).toEqual({ url, model: 'm', apiKey: '', temperature: 0.7, retries: 5, timeoutMs: 60_000, concurrency: 4, fetch: globalThis.fetch });
  });

  it.each<[Partial<ChatEndpoint>, string]>([
    [{ temperature: -0.1 }, 'temperature to be a number of 0 or more, got -0.1'],
    [{ temperature: Infinity }, 'temperature to be a number of 0 or more, got Infinity'],
    [{ retries: -1 }, 'retries to be a whole number from 0, got -1'],
    [{ retries: 0.5 }, 'retries to be a whole number from 0, got 0.5'],
    [{ timeoutMs: 0 }, 'timeoutMs to be a number of milliseconds above 0, got 0'],
    [{ timeoutMs: 2 ** 31 }, 'timeoutMs to be a number of milliseconds above 0, got 2147483648'],
    [{ concurrency: 0 }, 'concurrency to be a whole number from 1, got 0'],
    [{ concurrency: 1.5 }, 'concurrency to be a whole number from 1, got 1.5'],
    [{ model: '' }, "model to be the name of a model, got ''"],
    [{ apiKey: 'a b' }, "apiKey to be characters that a header can hold, got 'others'"],
    [{ url: 'localhost' }, "url to be an address such as http://localhost:8080/v1, got 'localhost'"],
    [{ url: 'http://me:secret@localhost' }, 'url to be an address such as http://localhost:8080/v1, got'],
    [{ fetch: 7 as never }, 'fetch to be a function, got 7'],
  ])('%j is refused', (change, message) => expect(() => endpointSettings({ url, model: 'm', ...change })).toThrow(new RegExp(`^judge: expected ${message.replaceAll('.', '\\.')}`)));

  it('take what is just within their limits', () => {
    const change = { temperature: 0, retries: 0, timeoutMs: 2 ** 31 - 1, concurrency: 1, apiKey: '!~' };
    expect(endpointSettings({ url, model: 'm', ...change })).toMatchObject(change);
    expect(() => endpointSettings({ url, model: 'm', temperature: -1 })).toThrow(ArgumentError);
  });
});

describe('a completion', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: Date.UTC(2026, 0, 1) }));
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  /** Advances the clock until it is settled; the milliseconds of each wait. */
  async function settled<T>(promise: Promise<T>): Promise<{ value: T | Error; waits: number[] }> {
    const waits: number[] = [];
    const result = promise.catch((error: unknown) => error as Error);
    let value: T | Error | undefined;
    void result.then((given) => (value = given));
    for (let turn = 0; value === undefined && turn < 500; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (vi.getTimerCount() === 0) continue;
      const before = Date.now();
      await vi.advanceTimersToNextTimerAsync();
      waits.push(Date.now() - before);
    }
    return { value: value!, waits };
  }

  it('is the content of the first choice, asked for once', async () => {
    const { send, settings } = endpoint([said('yes')], { apiKey: 'key', temperature: 0.25 });
    expect(await chatCompletion(settings, 'ready?')).toEqual({ text: 'yes' });
    expect(send).toHaveBeenCalledTimes(1);
    const [address, request] = send.mock.calls[0] as unknown as [string, RequestInit];
    expect(address).toBe(`${url}/chat/completions`);
    expect(request.headers).toEqual({ 'content-type': 'application/json', authorization: 'Bearer key' });
    expect(JSON.parse(request.body as string)).toEqual({ model: 'm', messages: [{ role: 'user', content: 'ready?' }], temperature: 0.25 });
    expect(await chatCompletion(endpoint([said(null)]).settings, 'x')).toEqual({ text: '' });
  });

  it.each([408, 429, 500, 599])('is asked for again after status %i', async (code) => {
    const { send, settings } = endpoint([status(code), said('yes')]);
    expect((await settled(chatCompletion(settings, 'x'))).value).toEqual({ text: 'yes' });
    expect(send).toHaveBeenCalledTimes(2);
  });

  it.each([300, 400, 407, 409, 428, 430, 499])('is not asked for again after status %i', async (code) => {
    const { send, settings } = endpoint([status(code, {}, 'the key is key, no')], { apiKey: 'key' });
    const { value } = await settled(chatCompletion(settings, 'x'));
    expect(value).toEqual(new FileError(url, `expected a chat completion, got status ${code} (the … is …, no); check the judge's url, model and apiKey`));
    expect(send).toHaveBeenCalledTimes(1);
  });

  it('is waited for twice as long each time, up to 30 seconds, and a little less by chance', async () => {
    for (const [chance, share] of [[0, 0.5], [0.5, 0.75], [1, 1]] as const) {
      vi.spyOn(Math, 'random').mockReturnValue(chance);
      const { send, settings } = endpoint([status(503)], { retries: 8 });
      const { value, waits } = await settled(chatCompletion(settings, 'x'));
      expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map((most) => most * share));
      expect((value as Error).message).toBe(`${url}: expected the judge to answer, got status 503 (9 tries); is it running? Start again to go on`);
      expect(send).toHaveBeenCalledTimes(9);
    }
    const { value } = await settled(chatCompletion(endpoint([status(503)], { retries: 0 }).settings, 'x'));
    expect((value as Error).message).toContain('got status 503 (1 try);');
  });

  it.each<[string, number | null]>([
    ['3', 3000], [' 0 ', null], ['600', 600_000], ['601', 600_000], ['Thu, 01 Jan 2026 00:00:07 GMT', 7000], ['Wed, 31 Dec 2025 00:00:00 GMT', null], ['soon', null], ['', null],
  ])('is waited for as long as Retry-After %j asks', async (asked, expected) => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const { waits } = await settled(chatCompletion(endpoint([status(429, { 'retry-after': asked }), said('yes')]).settings, 'x'));
    expect(waits).toEqual([expected ?? 250]);
  });

  it('has replies of up to 1 MiB, and texts in quotes of 200 characters', async () => {
    const reply = (bytes: number) => {
      const frame = JSON.stringify({ choices: [{ message: { content: '' } }] });
      return said('x'.repeat(bytes - frame.length));
    };
    expect(await chatCompletion(endpoint([reply(2 ** 20)]).settings, 'x')).toHaveProperty('text');
    expect(await chatCompletion(endpoint([reply(2 ** 20 + 1)], { retries: 0 }).settings, 'x')).toEqual({ malformed: 'a reply of more than 1 MiB' });
    const { value } = await settled(chatCompletion(endpoint([status(400, {}, 'y'.repeat(300))]).settings, 'x'));
    expect((value as Error).message).toContain(`(${'y'.repeat(200)});`);
    const page = await settled(chatCompletion(endpoint([new Response(' <!doctype html>\n<p>Hello')]).settings, 'x'));
    expect((page.value as Error).message).toBe(`${url}: expected a chat completion, got a web page (<!doctype html> <p>Hello); check the judge's url, which often ends with /v1`);
  });

  it('may come in pieces that end within a character', async () => {
    const bytes = new TextEncoder().encode(JSON.stringify({ choices: [{ message: { content: 'grün 😀' } }] }));
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at++) controller.enqueue(bytes.subarray(at, at + 1));
        controller.close();
      },
    });
    expect(await chatCompletion(endpoint([new Response(body)], { retries: 0 }).settings, 'x')).toEqual({ text: 'grün 😀' });
  });

  it.each<[string, Response | Error, string]>([
    ['no JSON', new Response('{'), 'a reply that is not JSON ({)'],
    ['no choices', new Response('{}'), 'a reply without choices[0].message.content ({})'],
    ['null', new Response('null'), 'a reply without choices[0].message.content (null)'],
    ['a number', said(7), 'a reply without choices[0].message.content ({"choices":[{"message":{"content":7}}]})'],
    ['nothing', new Response(null), 'a reply that is not JSON'],
    ['no connection', new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } }), 'no connection (ECONNREFUSED)'],
    ['another failure', new TypeError('fetch failed', { cause: { message: 'other side closed' } }), 'no connection (other side closed)'],
    ['a failure without a cause', new TypeError('fetch failed'), 'no connection (fetch failed)'],
  ])('is asked for again after %s', async (_, answer, failed) => {
    const { value } = await settled(chatCompletion(endpoint([answer], { retries: 1 }).settings, 'x'));
    expect((value as Error).message).toBe(`${url}: expected the judge to answer, got ${failed} (2 tries); is it running? Start again to go on`);
  });

  it('ends with the reason of its signal, in a request and in a wait', async () => {
    const reason = new Error('enough');
    const { send, settings } = endpoint([status(503)]);
    const controller = new AbortController();
    const waiting = chatCompletion(settings, 'x', controller.signal).catch((error: unknown) => error);
    for (let turn = 0; vi.getTimerCount() === 0 && turn < 500; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
    expect(send).toHaveBeenCalledTimes(1);
    const aborted = endpoint([new Error('aborted')]);
    await expect(chatCompletion(aborted.settings, 'x', AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
