import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseHarnessResults } from '@mixsga/evaluators';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { run, start, until } from './testing/command-line';

const SLOW = 120_000;

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mixsga-eval-'));
});
afterAll(() => rm(folder, { recursive: true }));

const evaluate = (...args: string[]) => run(folder, ['eval', 'sotu-mini', ...args]);

/** The results file of a folder, without what tells the time. */
function resultsOf(name: string): Record<string, unknown> {
  const files = readdirSync(at(name)).filter((file) => file.startsWith('results_'));
  expect(files).toHaveLength(1);
  const { date: _date, total_evaluation_time_seconds: _seconds, ...results } = JSON.parse(readFileSync(at(name, files[0]!), 'utf8')) as Record<string, unknown>;
  return results;
}

function samplesOf(name: string, task: string): Record<string, unknown>[] {
  const file = readdirSync(at(name)).find((file) => file.startsWith(`samples_${task}_2`))!;
  return readFileSync(at(name, file), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('mixsga eval', () => {
  it('measures the text by default, and keeps the keys of its JSON', async () => {
    const { code, out } = await evaluate('--attention', 'mixsga:3:1:6', '--max-windows', '2', '--json');
    expect(code).toBe(0);
    const output = JSON.parse(out) as { results: Record<string, Record<string, unknown>> };
    expect(output).toMatchObject({
      schema: 'mixsga/eval@2', model: 'sotu-mini', attention: 'mixsga:3:1:6', backend: 'wasm', weights: 'f32',
      corpus: 'sotu', split: 'validation', routing: 'decode', data: { perplexity: 'sotu', kv_accounting: 'sotu', routing: 'sotu' },
      results: { perplexity: { tokens: 512, windows: 2, routing: 'decode' }, kv_accounting: { kvBudget: 0.5, kv_budget: 0.5 } },
    });
    expect(Object.keys(output.results)).toEqual(['perplexity', 'kv_accounting', 'routing']);
    expect(output.results.perplexity!.perplexity).toBeGreaterThan(40);
    expect(output.results.routing!.agreement).toBeGreaterThan(0.3);
    expect(output.results.routing!.perLayer).toHaveLength(4);
  }, SLOW);

  it('writes results and samples as lm-evaluation-harness does, of data sets and texts', async () => {
    writeFileSync(at('pages.jsonl'), '{"page": " = A page = \\n It has a few words , and no more . \\n"}\n');
    const data = ['--data', 'hellaswag=sotu', '--data', 'wikitext=pages.jsonl', '--data', 'dolly=sotu'];
    const sampling = ['--limit', '4', '--seeds', '10,20', '--max-new-tokens', '8', '--temperature', '0.7', '--top-k', '20', '--no-repeat-ngram-size', '3'];
    const { code, out } = await evaluate('--tasks', 'hellaswag,wikitext,dolly,perplexity', ...data, ...sampling, '--max-windows', '1', '--out', 'tasks');
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^hellaswag: acc [\d.]+ ± [\d.]+, acc_norm [\d.]+ ± [\d.]+$/);
    expect(lines[2]).toMatch(/^dolly: rouge_l [\d.]+ ± [\d.]+, rouge_l_std [\d.]+$/);
    expect(lines.at(-1)).toMatch(/^results: tasks\/results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}\.json$/);
    expect(readdirSync(at('tasks')).map((file) => file.replace(/_2.*\.json/, '.json')).sort()).toEqual([
      'results.json', 'samples_dolly.jsonl', 'samples_hellaswag.jsonl', 'samples_perplexity.jsonl', 'samples_wikitext.jsonl',
    ]);
    const { model, tasks, mixsga } = parseHarnessResults(resultsOf('tasks'), 'tasks');
    expect(model).toBe('sotu-mini');
    expect(tasks.hellaswag).toMatchObject({ documents: 4, higherIsBetter: { acc: true, acc_norm: true } });
    expect(tasks.wikitext!.documents).toBe(1);
    expect(tasks.wikitext!.metrics.word_perplexity).toBeGreaterThan(1);
    expect(mixsga).toMatchObject({ attention: 'mha', backend: 'wasm', kv: { budget: 1, bytesPerToken: 4096 } });
    expect(mixsga!.tasks.dolly).toMatchObject({
      data: 'sotu',
      options: { split: 'validation', generation: { seeds: [10, 20], temperature: 0.7, topK: 20, maxNewTokens: 8, noRepeatNgramSize: 3 } },
      details: { rows: 4, seeds: [10, 20], noRepeatNgramSize: 3 },
    });
    expect(samplesOf('tasks', 'dolly').map(({ doc_id, seed }) => [doc_id, seed])).toEqual([0, 1, 2, 3].flatMap((row) => [[row, 10], [row, 20]]));
    expect(samplesOf('tasks', 'hellaswag')[0]).toMatchObject({ doc_id: 0, filter: 'none', metrics: ['acc', 'acc_norm'] });
  }, SLOW);

  it('comes to the same results through a kill and a Ctrl-C, from the samples that it kept', async () => {
    const args = ['--tasks', 'perplexity,hellaswag', '--data', 'hellaswag=sotu', '--limit', '120', '--max-windows', '40', '--batch-size', '2'];
    expect((await evaluate(...args, '--out', 'whole')).code).toBe(0);

    const samples = (task: string) => {
      const path = at('broken', 'unfinished', `${task}.jsonl`);
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 2 : 0;
    };
    const command = ['eval', 'sotu-mini', ...args, '--out', 'broken'];
    const first = start(folder, command);
    await until(() => samples('perplexity') >= 6 || first.child.exitCode !== null);
    first.child.kill('SIGKILL');
    expect((await first.ended).code).toBe(null);
    const kept = samples('perplexity');
    expect(kept).toBeLessThan(40);

    const refused = await run(folder, command);
    expect(refused).toMatchObject({ code: 2, out: '', err: `mixsga: broken/unfinished/perplexity.jsonl: holds ${kept} finished samples; add --resume to go on from them, or give another --out\n` });
    const other = await run(folder, [...command, '--resume', '--routing', 'prefill']);
    expect(other).toMatchObject({ code: 2, err: expect.stringContaining('settings.options.routing was "decode", is now "prefill"') as string });

    const second = start(folder, [...command, '--resume']);
    await until(() => samples('hellaswag') >= 6 || second.child.exitCode !== null);
    second.child.kill('SIGINT');
    const stopped = await second.ended;
    expect(stopped.code).toBe(130);
    expect(stopped.err).toMatch(/\nmixsga: stopped; go on with: mixsga eval sotu-mini --tasks perplexity,hellaswag .* --out broken --resume\n$/);
    expect(samples('perplexity')).toBe(40);
    expect(readdirSync(at('broken'))).toEqual(['unfinished']);

    const last = await run(folder, [...command, '--resume']);
    expect(last.code).toBe(0);
    expect(last.err).toMatch(/perplexity: 40 of 40 \(100 %\)/);
    expect(resultsOf('broken')).toEqual(resultsOf('whole'));
    for (const task of ['perplexity', 'hellaswag']) expect(samplesOf('broken', task)).toEqual(samplesOf('whole', task));
    expect(existsSync(at('broken', 'unfinished'))).toBe(false);
  }, SLOW);
});

describe('mixsga report', () => {
  it('puts results together, of eval and of lm-evaluation-harness', async () => {
    await evaluate('--attention', 'mixsga:3:1:6', '--tasks', 'routing,token_importance', '--max-windows', '1', '--window-length', '24', '--out', 'reported/routed');
    for (const attention of ['mha', 'gqa:2']) {
      await evaluate('--attention', attention, '--tasks', 'hellaswag', '--data', 'hellaswag=sotu', '--limit', '4', '--out', 'reported/questions');
    }
    const harness = fileURLToPath(new URL('../../../packages/training/src/evaluation/fixtures/harness/results_lm_eval.json', import.meta.url));
    const { code, out, err } = await run(folder, ['report', 'reported', harness, '--out', 'report']);
    expect({ code, out, err }).toEqual({ code: 0, out: 'report: report/report.md, with 4 plots, of 4 files\n', err: '' });
    expect(readdirSync(at('report')).sort()).toEqual([
      'hellaswag-kv.svg', 'importance-sotu-mini-mixsga-3-1-6.svg', 'report.md', 'routing-sotu-mini-mixsga-3-1-6.svg', 'tokens-sotu-mini-mixsga-3-1-6.svg',
    ]);
    const markdown = readFileSync(at('report', 'report.md'), 'utf8');
    expect(markdown).toMatch(/\| sotu-mini \| gqa:2 \| 50 % \| f32 \| sotu \| decode \| 4 \| [\d.]+ ± [\d.]+ \|/);
    expect(markdown).toContain('| 10 | 0.2000 ± 0.1333 | 0.2000 ± 0.1333 |');
  }, SLOW);

  it('names a file that it cannot use and goes on with the rest, and fails where nothing is left', async () => {
    const file = at('reported', 'results_old.json');
    writeFileSync(file, '{"results": {}, "mixsga": {"schema": "mixsga/results@0"}}');
    const reason = 'reported/results_old.json: expected results of the schema mixsga/results@1, got "mixsga/results@0"; evaluate again with this version\n';
    const beside = await run(folder, ['report', 'reported', '--out', 'beside']);
    expect(beside).toEqual({ code: 0, out: 'report: beside/report.md, with 4 plots, of 3 files; 1 left out\n', err: `mixsga: left out: ${reason}` });
    expect(await run(folder, ['report', 'reported/results_old.json', '--out', 'refused'])).toEqual({ code: 1, out: '', err: `mixsga: ${reason}` });
    expect(existsSync(at('refused'))).toBe(false);
    expect((await run(folder, ['report', 'nowhere'])).err).toBe('mixsga: nowhere: no such file or folder\n');
    expect((await run(folder, ['report'])).code).toBe(2);
  }, SLOW);
});

describe('mixsga eval --judge', () => {
  let server: Server;
  let url: string;
  let keys: (string | undefined)[];
  let dead: boolean;
  let page = false;
  let tunnels: (string | undefined)[];

  beforeAll(async () => {
    keys = [];
    tunnels = [];
    dead = false;
    server = createServer((request, response) => {
      keys.push(request.headers.authorization);
      if (page) return response.end('<html><body>Welcome</body></html>');
      if (dead && keys.length > 3) return response.writeHead(400).end('no more');
      response.end(JSON.stringify({ choices: [{ message: { content: 'Poor. Rating: [[2.50]]' } }] }));
    });
    // As a proxy it is itself whatever it is asked for.
    server.on('connect', (request, socket) => {
      tunnels.push(request.url);
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.emit('connection', socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  });
  afterAll(() => void server.close());

  const judged = (...args: string[]) =>
    evaluate('--tasks', 'dolly', '--data', 'dolly=sotu', '--limit', '4', '--seeds', '10', '--max-new-tokens', '8', '--judge', url, '--judge-model', 'm', ...args);

  it('rates the answers, tells no key, and goes on where the judge refused', async () => {
    process.env.OPENAI_API_KEY = 'sk-secret';
    try {
      dead = true;
      const refused = await judged('--out', 'judged', '--batch-size', '1');
      expect(refused.code).toBe(1);
      expect(refused.err).toContain(`${url}: expected a chat completion, got status 400`);
      dead = false;
      keys.length = 0;
      const { code, out } = await judged('--out', 'judged', '--batch-size', '1', '--resume');
      expect(code).toBe(0);
      expect(out).toContain('dolly_judge: rating 2.5000 ± 0, unrated 0');
      expect(keys).toEqual(['Bearer sk-secret', 'Bearer sk-secret', 'Bearer sk-secret']); // one to see whether it answers, two that were left
    } finally {
      delete process.env.OPENAI_API_KEY;
    }
    expect(parseHarnessResults(resultsOf('judged'), 'judged').tasks.dolly_judge!.metrics).toMatchObject({ rating: 2.5, unrated: 0 });
    expect(samplesOf('judged', 'dolly_judge')).toHaveLength(4);
    for (const file of readdirSync(at('judged'))) expect(readFileSync(at('judged', file), 'utf8')).not.toContain('sk-secret');
  }, SLOW);

  it('is asked through the proxy of the environment', async () => {
    process.env.HTTP_PROXY = `${new URL(url).origin}/`;
    try {
      const few = ['--limit', '1', '--max-new-tokens', '1', '--json'];
      const { code, out, err } = await judged(...few, '--judge', 'http://judge.invalid/v1');
      expect({ code, err }).toMatchObject({ code: 0 });
      expect(JSON.parse(out)).toMatchObject({ results: { dolly_judge: { rating: 2.5, unrated: 0, judge: { url: 'http://judge.invalid/v1' } } } });
      expect(new Set(tunnels)).toEqual(new Set(['judge.invalid:80']));
      process.env.NO_PROXY = '127.0.0.1';
      tunnels.length = 0;
      expect(await judged(...few)).toMatchObject({ code: 0 });
      expect(tunnels).toEqual([]);
    } finally {
      delete process.env.HTTP_PROXY;
      delete process.env.NO_PROXY;
    }
  }, SLOW);

  it('says what is missing before anything is measured', async () => {
    expect(await evaluate('--tasks', 'dolly', '--judge', url)).toMatchObject({ code: 2, err: 'mixsga: --judge: expected --judge and --judge-model together\n' });
    const { code, err } = await judged('--judge', 'localhost:80');
    page = true;
    const web = await judged('--out', 'web');
    page = false;
    expect(web).toEqual({
      code: 1, out: '',
      err: `mixsga: ${url}: expected a chat completion, got a web page (<html><body>Welcome</body></html>); check the judge's url, which often ends with /v1\n`,
    });
    expect(existsSync(at('web'))).toBe(false);
    expect({ code, err }).toEqual({ code: 2, err: "mixsga: judge: expected url to be an address such as http://localhost:8080/v1, got 'localhost:80'\n" });
  }, SLOW);
});

describe('bad input to eval ends with one line and the right exit code', () => {
  beforeAll(async () => {
    const row = { ctx_a: 'A man', ctx_b: 'he', activity_label: 'Walking', endings: ['runs.', 'sits.', 'eats.', 'sings.'], label: '1' };
    const rows = (...values: unknown[]) => values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n');
    await writeFile(at('broken.jsonl'), rows(row, '{"ctx_a": ', row, row));
    await writeFile(at('gold.jsonl'), rows(row, { ...row, label: '4' }));
    await writeFile(at('fields.jsonl'), rows({ ...row, endings: undefined }));
    await writeFile(at('none.jsonl'), '\n');
    await writeFile(at('binary.bin'), Buffer.from([0xff, 0xfe, 0x00]));
  });

  it.each<[string[], number, RegExp]>([
    [['--tasks', 'hellaswag', '--data', 'hellaswag=broken.jsonl'], 1, /^mixsga: broken\.jsonl: line 2: /],
    [['--tasks', 'hellaswag', '--data', 'hellaswag=gold.jsonl'], 1, /^mixsga: gold\.jsonl: line 2: expected 'label' to be the right one of the choices 0, 1, 2, 3, got "4"/],
    [['--tasks', 'hellaswag', '--data', 'hellaswag=fields.jsonl'], 1, /^mixsga: fields\.jsonl: line 1: expected a list of texts in 'endings', got nothing/],
    [['--tasks', 'hellaswag', '--data', 'hellaswag=none.jsonl'], 1, /^mixsga: none\.jsonl: holds no rows/],
    [['--tasks', 'hellaswag', '--data', 'hellaswag=missing.jsonl'], 1, /^mixsga: missing\.jsonl: cannot be read/],
    [['--tasks', 'hellaswag', '--data', 'piqa=x.jsonl'], 2, /^mixsga: --data: expected one of the tasks hellaswag before the "=", got piqa/],
    [['--tasks', 'piqa', '--data', 'piqa=sotu'], 2, /^mixsga: piqa: expected a file, a folder or a data set of the hub, got sotu, which serves wikitext, hellaswag, dolly/],
    [['--tasks', 'judge'], 2, /^mixsga: judge: expected a file of rows, got none/],
    [['--data', 'a.txt', '--data', 'b.txt'], 2, /^mixsga: --data: expected one text, got a\.txt and b\.txt/],
    [['--data', 'binary.bin'], 1, /^mixsga: binary\.bin: /],
    [['--tasks', 'helaswag'], 2, /^mixsga: evaluator: expected one of perplexity, .*got 'helaswag'/],
    [['--tasks', 'perplexity,perplexity'], 2, /^mixsga: --tasks: expected each task once, got perplexity twice/],
    [['--window-length', '300'], 2, /^mixsga: perplexity: expected windowLength to be a whole number from 1 on of at most 256/],
    [['--limit', '0'], 2, /^error: option '--limit <n>' argument '0' is invalid/],
    [['--seeds', '1,x'], 2, /^error: option '--seeds <list>' argument '1,x' is invalid/],
    [['--resume'], 2, /^mixsga: --resume: expected --out with it/],
    [['--max-windows', '1', '--out', 'binary.bin'], 1, /^mixsga: binary\.bin/],
  ])('%j', async (args, code, message) => {
    const ended = await evaluate(...args);
    expect({ code: ended.code, out: ended.out }).toEqual({ code, out: '' });
    const lines = ended.err.trimEnd().split('\n').filter((line) => !/^(\(--help|perplexity: 0 of)/.test(line));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
  }, SLOW);

  it('says what to do where the published data set cannot be had', async () => {
    process.env.HF_ENDPOINT = 'http://127.0.0.1:9';
    process.env.HF_HUB_CACHE = at('hub');
    try {
      const { code, err } = await evaluate('--tasks', 'piqa');
      expect(code).toBe(1);
      expect(err).toMatch(/^mixsga: \S+baber\/piqa: cannot be reached: .*; or give piqa a data set of yours \(--data piqa=FILE\)\n$/);
    } finally {
      delete process.env.HF_ENDPOINT;
      delete process.env.HF_HUB_CACHE;
    }
  }, SLOW);

  it('leaves broken rows out where that is asked for, and says so', async () => {
    const { code, out, err } = await evaluate('--tasks', 'hellaswag', '--data', 'hellaswag=broken.jsonl', '--skip-broken', '--json');
    expect(code).toBe(0);
    expect(err).toContain('hellaswag: 1 broken rows left out, the first: broken.jsonl: line 2: ');
    expect(JSON.parse(out)).toMatchObject({ data: { hellaswag: 'broken.jsonl' }, results: { hellaswag: { questions: 3 } } });
  }, SLOW);

  it('leaves out rows that parse and cannot be measured: of another task, or whose answer joins with the question', async () => {
    const row = (goal: string, sol1: string, sol2 = 'a stone', label: unknown = 0) => JSON.stringify({ goal, sol1, sol2, label });
    const unusable = ['{"goal": "x"}', '{"goal": 1, "sol1": "a", "sol2": "b", "label": 0}', row('To sit', 'take a chair', 'a stone', 7), row('To sit', '\n'.repeat(0), 'x'.repeat(2000)), '[]', 'null', '3'];
    writeFileSync(at('piqa.jsonl'), [row('To sit', 'take a chair'), ...unusable, row('To eat', 'take a spoon', 'sleep', 1)].join('\n'));
    const { code, out, err } = await evaluate('--tasks', 'piqa', '--data', 'piqa=piqa.jsonl', '--skip-broken', '--json');
    expect({ code, err }).toMatchObject({ code: 0, err: expect.stringMatching(/piqa: 7 unusable rows left out, the first: piqa\.jsonl: line 2: expected a text in 'sol1', got nothing/) as string });
    expect(JSON.parse(out)).toMatchObject({ results: { piqa: { questions: 2 } } });
    const strict = await evaluate('--tasks', 'piqa', '--data', 'piqa=piqa.jsonl');
    expect(strict).toMatchObject({ code: 1, err: expect.stringContaining("piqa.jsonl: line 2: expected a text in 'sol1'") as string });
    writeFileSync(at('none.jsonl'), unusable.join('\n'));
    const none = await evaluate('--tasks', 'piqa', '--data', 'piqa=none.jsonl', '--skip-broken');
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining('none.jsonl: has no row that can be measured; the first: none.jsonl: line 1') as string });
  }, SLOW);
});

describe('a text of the user', () => {
  it('is measured whole, also where it is shorter than a window, and wikitext has the same text and tokens', async () => {
    const text = ' The state of the Union is strong , and our people are free .\n';
    writeFileSync(at('short.txt'), text);
    const { code, out, err } = await evaluate('--tasks', 'perplexity,wikitext', '--data', 'short.txt', '--data', 'wikitext=short.txt', '--json');
    expect({ code, err }).toMatchObject({ code: 0, err: expect.stringContaining(`perplexity: all of short.txt: ${text.length} characters, `) as string });
    const { corpus, split, results } = JSON.parse(out) as { corpus: string; split: string; results: Record<string, Record<string, number>> };
    expect({ corpus, split, windows: results.perplexity!.windows }).toEqual({ corpus: 'short.txt', split: 'all', windows: 1 });
    const { nll, tokens } = results.perplexity as { nll: number; tokens: number };
    const { bytes, bits_per_byte } = results.wikitext as { bytes: number; bits_per_byte: number };
    expect(bytes).toBe(text.length);
    expect(nll * tokens).toBeCloseTo(bits_per_byte * bytes * Math.LN2, 3);
    const said = await evaluate('--tasks', 'perplexity,wikitext', '--data', 'short.txt', '--data', 'wikitext=short.txt');
    expect(said.out).toMatch(new RegExp(`^perplexity: perplexity [\\d.,]+, nll [\\d.]+ \\(${tokens} tokens in 1 window\\)$`, 'm'));
    expect(said.out).toMatch(/^wikitext: .* \(\d+ words, 62 bytes in 1 page\)$/m);
  }, SLOW);

  it('of several windows: every token once', async () => {
    const text = Array.from({ length: 400 }, (_, i) => `In the year ${1800 + i} the Congress met.`).join('\n');
    writeFileSync(at('long.txt'), text);
    const both = await evaluate('--tasks', 'perplexity,wikitext', '--data', 'long.txt', '--data', 'wikitext=long.txt', '--json');
    const { results } = JSON.parse(both.out) as { results: Record<string, Record<string, number>> };
    const said = /([\d,]+) characters, ([\d,]+) tokens/.exec(both.err)!.slice(1).map((n) => Number(n.replaceAll(',', '')));
    expect(said).toEqual([text.length, results.perplexity!.tokens]);
    expect(results.perplexity!.windows).toBe(Math.ceil(results.perplexity!.tokens! / 256));
    // They differ in the context of the last window alone.
    const perToken = (results.wikitext!.bits_per_byte! * Math.LN2 * results.wikitext!.bytes!) / results.perplexity!.tokens!;
    expect(Math.abs(perToken / results.perplexity!.nll! - 1)).toBeLessThan(0.02);
    const part = await evaluate('--data', 'long.txt', '--split', 'validation', '--tasks', 'perplexity', '--json');
    expect(part).toMatchObject({ code: 1, err: expect.stringContaining('a corpus needs at least 20,000') as string });
    const sotu = await evaluate('--split', 'all', '--tasks', 'perplexity');
    expect(sotu).toMatchObject({ code: 2, err: expect.stringContaining('expected --split validation or test of sotu, got all') as string });
  }, SLOW);
});
