import { ArgumentError, expectOptions, FileError, type OptionNames } from '@mixsga/backend';

/** Bytes of a reply that are read at most. */
const LONGEST_REPLY = 1 << 20;
/** Waits between two tries, milliseconds: the first, and the longest. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
/** Longest wait that an endpoint may ask for. */
const LONGEST_ASKED_WAIT = 600_000;

/** Where a chat model answers, and how patiently it is asked. */
export interface ChatEndpoint {
  /** Base address of an OpenAI-compatible API, such as `http://localhost:8080/v1`. */
  readonly url: string;
  readonly model: string;
  /** Sent as a bearer token, and kept out of results and messages. */
  readonly apiKey?: string;
  /** Default 0.7. */
  readonly temperature?: number;
  /** Tries after the first. Default 5. */
  readonly retries?: number;
  /** Of one try, until the last byte of its reply. Default 60,000. */
  readonly timeoutMs?: number;
  /** Requests under way at once, at most the batch size. Default 4. */
  readonly concurrency?: number;
  /** What requests are sent with, such as one that knows a proxy. Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
}

export const CHAT_ENDPOINT: OptionNames<ChatEndpoint> = {
  url: true, model: true, apiKey: true, temperature: true, retries: true, timeoutMs: true, concurrency: true, fetch: true,
};

/** The text of a reply; or why it is not taken. */
export type ChatReply = { readonly text: string } | { readonly malformed: string };

/** Settings with their defaults. @throws ArgumentError for one out of range */
export function endpointSettings(given: ChatEndpoint): Required<ChatEndpoint> {
  expectOptions('judge', given, CHAT_ENDPOINT);
  const { url, model, apiKey = '', temperature = 0.7, retries = 5, timeoutMs = 60_000, concurrency = 4 } = given;
  const check = (name: string, what: string, value: unknown, holds: boolean) => {
    if (!holds) throw new ArgumentError(`judge: expected ${name} to be ${what}, got ${typeof value === 'string' ? `'${value}'` : String(value)}`);
  };
  const isAddress = /^https?:\/\/[^/]/.test(url) && URL.canParse(url) && new URL(url).username === '';
  check('url', 'an address such as http://localhost:8080/v1', url, isAddress);
  check('apiKey', 'characters that a header can hold', 'others', /^[\x21-\x7e]*$/.test(apiKey));
  check('model', 'the name of a model', model, typeof model === 'string' && model !== '');
  check('temperature', 'a number of 0 or more', temperature, temperature >= 0 && temperature < Infinity);
  check('retries', 'a whole number from 0', retries, Number.isInteger(retries) && retries >= 0);
  check('timeoutMs', 'a number of milliseconds above 0', timeoutMs, timeoutMs > 0 && timeoutMs < 2 ** 31);
  check('concurrency', 'a whole number from 1', concurrency, Number.isInteger(concurrency) && concurrency >= 1);
  const { fetch: send = globalThis.fetch } = given;
  check('fetch', 'a function', send, typeof send === 'function');
  return { url: url.replace(/\/+$/, ''), model, apiKey, temperature, retries, timeoutMs, concurrency, fetch: send };
}

/**
 * What a chat model says to a prompt. Status 408, 429 and from 500 on, no connection, no reply in time and a reply that is no
 * completion are tried again after a wait that doubles, with jitter, or as long as Retry-After asks for (up to 10 minutes).
 *
 * @throws FileError that names the endpoint when it refuses, answers with a web page, or gives no completion in any try; the signal's reason
 */
export async function chatCompletion(endpoint: Required<ChatEndpoint>, prompt: string, signal?: AbortSignal): Promise<ChatReply> {
  const { url, retries } = endpoint;
  for (let tries = 1; ; tries++) {
    const outcome = await tryOnce(endpoint, prompt, signal);
    if (!('failed' in outcome)) return outcome;
    if (tries > retries) {
      throw new FileError(url, `expected the judge to answer, got ${outcome.failed} (${tries === 1 ? '1 try' : `${tries} tries`}); is it running? Start again to go on`);
    }
    const backoff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * (0.5 + Math.random() / 2);
    await wait(outcome.askedWait || backoff, signal);
  }
}

/**
 * Asks for one short completion, so that an endpoint that gives none is found out before there is anything to judge.
 * @throws ArgumentError for settings out of range; else as {@link chatCompletion}
 */
export async function checkJudge(endpoint: ChatEndpoint, signal?: AbortSignal): Promise<void> {
  await chatCompletion(endpointSettings(endpoint), 'Answer with one word: ready?', signal);
}

type Outcome = ChatReply | { readonly failed: string; readonly askedWait: number | null };

async function tryOnce(endpoint: Required<ChatEndpoint>, prompt: string, signal?: AbortSignal): Promise<Outcome> {
  const { url, model, apiKey, temperature, timeoutMs, fetch: send } = endpoint;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await send(`${url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(apiKey !== '' && { authorization: `Bearer ${apiKey}` }) },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: prompt }], temperature }),
      signal: AbortSignal.any(signal ? [timeout, signal] : [timeout]),
    });
    const body = await beginningOf(response);
    const { status } = response;
    if (status === 408 || status === 429 || status >= 500) return { failed: `status ${status}`, askedWait: askedWait(response) };
    if (!response.ok) throw new FileError(url, refusal(endpoint, status, body));
    return completionOf(endpoint, body);
  } catch (error) {
    if (FileError.isInstance(error)) throw error;
    signal?.throwIfAborted();
    return { failed: timeout.aborted ? `nothing within ${timeoutMs / 1000} s` : `no connection (${causeOf(error)})`, askedWait: null };
  }
}

/** A reply's text; null where it is too long. */
async function beginningOf({ body }: Response): Promise<string | null> {
  if (!body) return '';
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = '';
  for (let bytes = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > LONGEST_REPLY) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}

/**
 * A completion, or what is wrong with a reply that is none, which may be better next time.
 * @throws FileError for a web page: another try brings it again
 */
function completionOf(endpoint: ChatEndpoint, body: string | null): Outcome {
  if (body === null) return { malformed: `a reply of more than ${LONGEST_REPLY / 2 ** 20} MiB` };
  if (/^\s*</.test(body)) throw new FileError(endpoint.url, `expected a chat completion, got a web page${quoted(endpoint, body)}; check the judge's url, which often ends with /v1`);
  let content: unknown;
  try {
    const reply = JSON.parse(body) as { choices?: { message?: { content?: unknown } }[] } | null;
    content = reply?.choices?.[0]?.message?.content;
  } catch {
    return { failed: `a reply that is not JSON${quoted(endpoint, body)}`, askedWait: null };
  }
  if (content === null) return { text: '' }; // the model refused
  return typeof content === 'string' ? { text: content } : { failed: `a reply without choices[0].message.content${quoted(endpoint, body)}`, askedWait: null };
}

function refusal(endpoint: ChatEndpoint, status: number, body: string | null): string {
  return `expected a chat completion, got status ${status}${quoted(endpoint, body)}; check the judge's url, model and apiKey`;
}

/** The beginning of a reply in brackets, on one line and without the key. */
function quoted({ apiKey }: ChatEndpoint, body: string | null): string {
  const said = (body ?? '').slice(0, 200).replaceAll(/\s+/g, ' ').trim();
  const safe = apiKey ? said.replaceAll(apiKey, '…') : said;
  return safe === '' ? '' : ` (${safe})`;
}

/** Milliseconds that Retry-After asks for, as seconds or as a date; null without it. */
function askedWait({ headers }: Response): number | null {
  const value = headers.get('retry-after') ?? '';
  const milliseconds = /^\s*\d+\s*$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.min(LONGEST_ASKED_WAIT, Math.max(0, milliseconds)) : null;
}

function causeOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
