import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ArgumentError, FileError } from '@mixsga/backend';
import { afterEach, describe, expect, it } from 'vitest';

import type { DataRow, EvaluationOptions } from '../evaluator';
import { runEvaluator } from '../run';
import { BigramModel } from '../testing/bigram-model';
import { describeEvaluator } from '../testing/describe-evaluator';
import type { ChatEndpoint } from './chat-completion';
import { judgeEvaluator, type JudgeSample, ratingOf } from './judge';

const model = new BigramModel({ logits: [[0, 0], [0, 0]] });

interface Asked {
  readonly authorization: string | undefined;
  readonly path: string | undefined;
  readonly body: { model: string; messages: { role: string; content: string }[]; temperature: number };
  /** The answer that is judged. */
  readonly answer: string;
}

interface Endpoint {
  readonly url: string;
  readonly asked: Asked[];
  close(): Promise<void>;
}

/** A server that says what `reply` makes of a request: the text of a completion, or what it does with the response itself. */
async function endpoint(reply: (asked: Asked, response: ServerResponse, number: number) => string | void): Promise<Endpoint> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void bodyOf(request).then((text) => {
      const body = JSON.parse(text) as Asked['body'];
      const answer = /Start of Assistant's Answer\]\n(.*)\n\[The End/s.exec(body.messages[0]!.content)![1]!;
      const one = { authorization: request.headers.authorization, path: request.url, body, answer };
      const said = reply(one, response, asked.push(one));
      if (said !== undefined) response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content: said } }] }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

const open: Endpoint[] = [];
const serve = async (reply: Parameters<typeof endpoint>[0]) => {
  const one = await endpoint(reply);
  open.push(one);
  return one;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

/** Samples of an evaluator of instructions. */
const sampleRows = (predictions: readonly string[], seeds = [10]): DataRow[] =>
  predictions.map((prediction, i) => ({
    where: `samples.jsonl: line ${i + 1}`,
    value: {
      doc_id: Math.floor(i / seeds.length), doc: { instruction: 'Sum up.', context: i % 2 ? '' : 'One and one.', response: 'Two' },
      seed: seeds[i % seeds.length], prediction, rouge_l: 1,
    },
  }));
const rate = (judge: ChatEndpoint | undefined, rows: DataRow[], options: Partial<EvaluationOptions> & { store?: Store } = {}) =>
  runEvaluator(judgeEvaluator, model, { name: 'samples', rows }, { routing: 'decode', ...(judge && { judge }), ...options });
type Store = { load(): Promise<JudgeSample[]>; append(samples: readonly JudgeSample[]): Promise<void>; kept: JudgeSample[] };
const memory = (): Store => {
  const kept: JudgeSample[] = [];
  return { kept, load: () => Promise.resolve(kept), append: (samples) => Promise.resolve(void kept.push(...samples)) };
};

describeEvaluator(judgeEvaluator, async () => {
  const { url } = await endpoint(({ answer }) => `It is what it is.\n\nRating: [[${answer.length}.25]]`); // as long as the tests run
  return { model, data: { name: 'samples', rows: sampleRows(['a', 'bb', 'ccc', 'dddd']) }, options: { judge: { url, model: 'm' } } };
});

describe('judge', () => {
  it('asks for a rating of each response', async () => {
    const { url, asked } = await serve(({ answer }) => `Short.\nRating: [[${answer.length}.50]]`);
    const rows = sampleRows(['two', 'three\n[[9]]', 'x'], [10, 20, 30]);
    const { samples, metrics, details } = await rate({ url: `${url}/`, model: 'judge-1', apiKey: 'sk-secret', concurrency: 1 }, rows);
    expect(asked[0]).toMatchObject({
      path: '/v1/chat/completions',
      authorization: 'Bearer sk-secret',
      body: { model: 'judge-1', temperature: 0.7, messages: [{ role: 'user' }] },
    });
    const prompt = asked[0]!.body.messages[0]!.content;
    expect(prompt).toContain('rate the response on a scale of 1 to 10 by strictly following this format: "Rating: [[x.xx]]"');
    expect(prompt).toContain("[Question]\nSum up.\n\nOne and one.\n\n[The Start of Assistant's Answer]\ntwo\n[The End of Assistant's Answer]");
    expect(asked[1]!.body.messages[0]!.content).toContain('[Question]\nSum up.\n\n[The Start');
    expect(asked.map(({ answer }) => answer)).toEqual(['two', 'three\n[[9]]', 'x']);
    expect(samples.map(({ doc_id, seed, rating }) => [doc_id, seed, rating])).toEqual([[0, 10, 3.5], [0, 20, null], [0, 30, 1.5]]);
    expect(samples[0]).toMatchObject({ resps: [['Short.\nRating: [[3.50]]']], filtered_resps: [3.5], metrics: ['rating'], unrated: null });
    expect(metrics).toEqual({ rating: 2.5, rating_stderr: null, unrated: 1 });
    expect(details).toEqual({
      responses: 3,
      rows: 1,
      judge: { url, model: 'judge-1', temperature: 0.7 },
      unratedReasons: { 'a rating that is not from 1 to 10': 1 },
    });
    expect(JSON.stringify({ samples, details })).not.toContain('sk-secret');
  });

  it.each<[string, ReturnType<typeof ratingOf>]>([
    ['Good. Rating: [[7.25]]', { rating: 7.25 }],
    ['[[ 1 ]]', { rating: 1 }],
    ['**Rating: [[10.00]]**/10', { rating: 10 }],
    ['At first [[3]], yet in the end Rating: [[6.5]]', { rating: 6.5 }],
    ['Rating: 7', { unrated: 'a reply without a rating' }],
    ['Rating: [[x.xx]]', { unrated: 'a reply without a rating' }],
    ['', { unrated: 'a reply without a rating' }],
    ['Rating: [[0]]', { unrated: 'a rating that is not from 1 to 10' }],
    ['Rating: [[10.01]]', { unrated: 'a rating that is not from 1 to 10' }],
    ['Rating: [[-3]]', { unrated: 'a rating that is not from 1 to 10' }],
  ])('takes %j for %j', (reply, expected) => {
    expect(ratingOf(reply)).toEqual(expected);
  });

  it('counts replies without a rating, and scores none of them', async () => {
    const bodies: Record<string, string> = { refused: '{"choices": [{"message": {"content": null}}]}', huge: `{"x": "${'y'.repeat(2 ** 21)}"}` };
    const { url } = await serve(({ answer }, response) => (answer in bodies ? void response.end(bodies[answer]) : 'Rating: [[4]]'));
    const names = ['good', ...Object.keys(bodies), 'good'];
    const { samples, metrics, details } = await rate({ url, model: 'm', retries: 0 }, sampleRows(names));
    expect(metrics).toMatchObject({ rating: 4, rating_stderr: 0, unrated: 2 });
    expect(samples.map(({ unrated }) => unrated)).toEqual([null, 'a reply without a rating', 'a reply of more than 1 MiB', null]);
    expect(details.unratedReasons).toEqual({ 'a reply without a rating': 1, 'a reply of more than 1 MiB': 1 });
    const none = await rate({ url, model: 'm', retries: 0 }, sampleRows(['huge']));
    expect(none.metrics).toEqual({ rating: null, rating_stderr: null, unrated: 1 });
  });

  it.each([
    ['{"choices": [', 'a reply that is not JSON ({"choices": [)'],
    ['{"error": {"message": "overloaded"}}', 'a reply without choices[0].message.content ({"error": {"message": "overloaded"}})'],
    ['{"choices": []}', 'a reply without choices[0].message.content ({"choices": []})'],
    ['[]', 'a reply without choices[0].message.content ([])'],
    ['null', 'a reply without choices[0].message.content (null)'],
    ['', 'a reply that is not JSON'],
  ])('ends with what an endpoint says that gives no completion in any try: %j', async (body, got) => {
    const { url, asked } = await serve((_, response) => void response.end(body));
    const error = await rate({ url, model: 'm', retries: 1 }, sampleRows(['a'])).catch((e: unknown) => e as Error);
    expect(FileError.isInstance(error)).toBe(true);
    expect((error as Error).message).toBe(`${url}: expected the judge to answer, got ${got} (2 tries); is it running? Start again to go on`);
    expect(asked).toHaveLength(2);
  });

  it('ends at the first web page, without the key that it repeats', async () => {
    const { url, asked } = await serve((_, response) => void response.end('\n<!doctype html>\n<title>Log in, sk-secret</title>'));
    const failing = rate({ url, model: 'm', apiKey: 'sk-secret' }, sampleRows(['a']));
    await expect(failing).rejects.toThrow(`${url}: expected a chat completion, got a web page (<!doctype html> <title>Log in, …</title>); check the judge's url, which often ends with /v1`);
    expect(asked).toHaveLength(1);
  });

  it('tries again after 500, 429, a cut connection, a malformed reply and a stall', async () => {
    const failures: ((response: ServerResponse) => void)[] = [
      (response) => response.writeHead(500).end('oops'),
      (response) => response.writeHead(429, { 'retry-after': '0' }).end(),
      (response) => response.destroy(),
      (response) => response.end('{"choices": '),
      () => undefined,
      (response) => response.writeHead(200).write('{"choi'), // and no more
    ];
    const tries = new Map<string, number>();
    const { url } = await serve(({ answer }, response) => {
      tries.set(answer, (tries.get(answer) ?? 0) + 1);
      if (tries.get(answer)! > 1) return 'Rating: [[8]]';
      failures[Number(answer)]!(response);
    });
    const { metrics } = await rate({ url, model: 'm', retries: 1, timeoutMs: 400, concurrency: 6 }, sampleRows(Object.keys(failures)));
    expect(metrics).toEqual({ rating: 8, rating_stderr: 0, unrated: 0 });
    expect([...tries.values()]).toEqual(failures.map(() => 2));
  });

  it('waits as long as Retry-After asks for, in seconds or until a date, and longer each time without it', async () => {
    const asks = [() => ({}), () => ({}), () => ({ 'retry-after': '1' }), () => ({ 'retry-after': new Date(Date.now() + 2000).toUTCString() })];
    const times: number[] = [];
    const { url } = await serve((_, response, number) => {
      times.push(performance.now());
      if (number > asks.length) return 'Rating: [[5]]';
      response.writeHead(503, asks[number - 1]!()).end();
    });
    await rate({ url, model: 'm' }, sampleRows(['a']));
    const waits = times.slice(1).map((time, i) => time - times[i]!);
    expect(waits[0]).toBeGreaterThan(240); // 0.5 s less up to half
    expect(waits[1]).toBeGreaterThan(490);
    expect(waits[2]).toBeGreaterThan(990);
    expect(waits[3]).toBeGreaterThan(900); // the date is in whole seconds
  });

  it('keeps what it has when the endpoint stops answering, names it, and goes on later', async () => {
    let dead = true;
    const { url, asked } = await serve(({ answer }) => (dead && answer === 'stall' ? undefined : 'Rating: [[6]]'));
    const store = memory();
    const rows = sampleRows(['a', 'b', 'c', 'd', 'e', 'stall', 'f']);
    const judge = { url, model: 'm', retries: 1, timeoutMs: 200, concurrency: 2 };
    const run = rate(judge, rows, { store, batchSize: 4 });
    await expect(run).rejects.toThrow(FileError);
    await expect(run).rejects.toThrow(`${url}: expected the judge to answer, got nothing within 0.2 s (2 tries); is it running? Start again to go on`);
    expect(store.kept.map(({ doc }) => (doc as { prediction: string }).prediction)).toEqual(['a', 'b', 'c', 'd', 'e']);
    dead = false;
    asked.length = 0;
    expect((await rate(judge, rows, { store })).metrics).toMatchObject({ rating: 6, unrated: 0 });
    expect(asked.map(({ answer }) => answer)).toEqual(['stall', 'f']);
  });

  it('is refused without an endpoint before any row is read', () => {
    const rows = [{ value: null, where: 'data: line 1' }];
    expect(() => judgeEvaluator.items(model, { name: 'samples', rows }, { routing: 'decode' })).toThrow(ArgumentError);
    expect(() => judgeEvaluator.items(model, { name: 'samples', rows }, { routing: 'decode', judge: { url: 'x', model: 'm' } })).toThrow('judge: expected url');
    expect(judgeEvaluator.items(model, { name: 'samples' }, { routing: 'decode', judge: { url: 'http://x', model: 'm' } })).toEqual([]);
  });

  it('asks no more once it was refused', async () => {
    const { url, asked } = await serve(({ answer }, response) => (answer === 'c' ? void response.writeHead(400).end() : 'Rating: [[6]]'));
    const store = memory();
    await expect(rate({ url, model: 'm', concurrency: 1 }, sampleRows([...'abcdefg']), { store })).rejects.toThrow('got status 400');
    expect(store.kept.map(({ rating }) => rating)).toEqual([6, 6]);
    // The one that was refused is tried again as the first of a batch.
    expect(asked.map(({ answer }) => answer)).toEqual(['a', 'b', 'c', 'c']);
  });

  it('says that nobody is there', async () => {
    const { url, close } = await endpoint(() => '');
    await close();
    await expect(rate({ url, model: 'm', retries: 0 }, sampleRows(['a']))).rejects.toThrow(
      `${url}: expected the judge to answer, got no connection (ECONNREFUSED) (1 try); is it running?`,
    );
  });

  it('does not try again where it is refused, and tells no key', async () => {
    const { url, asked } = await serve(({ authorization }, response) => void response.writeHead(401).end(`{"error":\n "wrong key: ${authorization}"}`));
    const run = rate({ url, model: 'm', apiKey: 'sk-secret' }, sampleRows(['a']));
    await expect(run).rejects.toThrow(FileError);
    await expect(run).rejects.toThrow(
      `${url}: expected a chat completion, got status 401 ({"error": "wrong key: Bearer …"}); check the judge's url, model and apiKey`,
    );
    expect(asked).toHaveLength(1);
  });

  it('ends at once with the signal, in a request and between two tries', async () => {
    for (const reply of [() => undefined, (_: Asked, response: ServerResponse) => void response.writeHead(500, { 'retry-after': '60' }).end()]) {
      const { url } = await serve(reply);
      const aborter = new AbortController();
      const run = rate({ url, model: 'm' }, sampleRows(['a', 'b']), { signal: aborter.signal });
      setTimeout(() => aborter.abort(new Error('enough')), 150);
      await expect(run).rejects.toThrow('enough');
    }
  });

  it('has at most the asked number of requests under way', async () => {
    let now = 0;
    let most = 0;
    const { url } = await serve((_, response) => {
      most = Math.max(most, ++now);
      setTimeout(() => {
        now -= 1;
        response.end('{"choices": [{"message": {"content": "[[2]]"}}]}');
      }, 20);
    });
    await rate({ url, model: 'm', concurrency: 3 }, sampleRows([...'abcdefgh']));
    expect(most).toBe(3);
  });

  it.each<[ChatEndpoint | undefined, string]>([
    [undefined, 'judge: expected the address and the model of a judge, got none; set judge.url and judge.model'],
    [{ url: 'localhost:80', model: 'm' }, "judge: expected url to be an address such as http://localhost:8080/v1, got 'localhost:80'"],
    [{ url: 'http://x', model: '' }, "judge: expected model to be the name of a model, got ''"],
    [{ url: 'http://x', model: 'm', apiKey: 'sk\n' }, 'judge: expected apiKey to be characters that a header can hold, got '],
    [{ url: 'http://x', model: 'm', temperature: -1 }, 'judge: expected temperature to be a number of 0 or more, got -1'],
    [{ url: 'http://x', model: 'm', retries: 0.5 }, 'judge: expected retries to be a whole number from 0, got 0.5'],
    [{ url: 'http://x', model: 'm', timeoutMs: 2 ** 31 }, 'judge: expected timeoutMs to be a number of milliseconds above 0, got 2147483648'],
    [{ url: 'http://x', model: 'm', timeoutMs: 0 }, 'judge: expected timeoutMs to be a number of milliseconds above 0, got 0'],
    [{ url: 'http://x', model: 'm', concurrency: 0 }, 'judge: expected concurrency to be a whole number from 1, got 0'],
  ])('refuses %j', async (judge, message) => {
    await expect(rate(judge, sampleRows(['a']))).rejects.toThrow(ArgumentError);
    await expect(rate(judge, sampleRows(['a']))).rejects.toThrow(message);
  });

  it.each<[unknown, string]>([
    [{ instruction: 'I', output: 'O' }, "data: line 1: expected a sample of an evaluator of instructions with 'doc_id', 'doc' and 'prediction'; is it a file of its samples?"],
    [null, 'data: line 1: expected a sample'],
    [{ doc_id: 1, doc: { query: 'Q' }, prediction: 'p' }, "data: line 1: doc: expected an instruction in field 'instruction'"],
  ])('refuses the row %j', async (value, message) => {
    await expect(rate({ url: 'http://x', model: 'm' }, [{ value, where: 'data: line 1' }])).rejects.toThrow(message);
  });
});
