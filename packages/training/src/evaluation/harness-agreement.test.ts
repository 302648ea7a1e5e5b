import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { startBackend } from '@mixsga/backend';
import { type DataRow, evaluatorNamed, type Evaluation, harnessResults, type MeasuredModel, parseHarnessResults, runEvaluator } from '@mixsga/evaluators';
import { fromPretrained, languageModel } from '@mixsga/models';
import { beforeAll, describe, expect, it } from 'vitest';

/** Of a document, as both write it. */
interface Sample {
  filtered_resps: (string | [logLikelihood: string, greedy: string])[];
  doc_hash: string;
  prompt_hash: string;
  target_hash: string;
  acc?: number;
  acc_norm?: number;
  word_perplexity?: [number, number];
  byte_perplexity?: [number, number];
}

/** What tools/make_evaluator_fixtures.py wrote: the harness's own numbers. */
interface Expected {
  results: Record<string, number | string>;
  samples: Sample[];
}

const at = (path: string) => fileURLToPath(new URL(`fixtures/harness/${path}`, import.meta.url));
const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Record<string, Record<string, Expected>>;
const TASKS = ['hellaswag', 'piqa', 'winogrande', 'arc_easy', 'arc_challenge', 'wikitext'];
const MODELS = { 'sotu-mini': 'sotu-mini', llama: at('llama'), gemma2: at('gemma2') };

function rowsOf(task: string): DataRow[] {
  const lines = readFileSync(at(`rows/${task}.jsonl`), 'utf8').trimEnd().split('\n');
  return lines.map((line, i) => ({ value: JSON.parse(line) as unknown, where: `${task}.jsonl: line ${i + 1}` }));
}

/** The log-likelihood of each request of a document, and whether its tokens are the likeliest. */
const likelihoods = ({ filtered_resps }: Sample) => filtered_resps.map((response) => Number([response].flat()[0]));
const greedy = ({ filtered_resps }: Sample) => filtered_resps.map((response) => [response].flat()[1]);

describe.each(Object.entries(MODELS))('on %s, as lm-evaluation-harness', (name, source) => {
  const evaluations = new Map<string, Evaluation<Sample>>();
  let traits: Pick<MeasuredModel, 'kv' | 'contextLength'>;

  beforeAll(async () => {
    await startBackend('wasm');
    const pretrained = await fromPretrained(source);
    const model = languageModel(pretrained);
    for (const task of TASKS) {
      const data = { name: task, rows: rowsOf(task) };
      evaluations.set(task, (await runEvaluator(evaluatorNamed(task), model, data, { routing: 'decode' })) as Evaluation<Sample>);
    }
    traits = { kv: model.kv, contextLength: model.contextLength };
    pretrained.decoder.dispose();
  }, 60_000);

  it.each(TASKS)('%s: the same log-likelihood of every request to 1e-4, and greedy where it is', (task) => {
    const { samples } = evaluations.get(task)!;
    const reference = expected[name]![task]!.samples;
    expect(samples).toHaveLength(reference.length);
    samples.forEach((sample, i) => {
      const values = likelihoods(sample);
      likelihoods(reference[i]!).forEach((value, choice) => {
        // The harness sums in float32, whose rounding shows in whole pages of thousands of nats.
        const allowed = 1e-4 + 1.2e-7 * Math.abs(value);
        expect(Math.abs(values[choice]! - value), `document ${i}, request ${choice}: ${values[choice]}, not ${value}`).toBeLessThan(allowed);
      });
      expect(greedy(sample)).toEqual(greedy(reference[i]!));
    });
  });

  it.each(TASKS)('%s: the same documents, requests and metrics', (task) => {
    const reference = expected[name]![task]!.samples;
    const { doc, target, arguments: asked, filter, metrics } = reference[0] as Sample & Record<string, unknown>;
    expect(evaluations.get(task)!.samples[0]).toMatchObject({ doc_id: 0, doc, target, arguments: asked, filter, metrics });
    evaluations.get(task)!.samples.forEach((sample, i) => {
      const { doc_hash, prompt_hash, target_hash, acc, acc_norm, word_perplexity, byte_perplexity } = reference[i]!;
      expect(sample).toMatchObject({ doc_hash, prompt_hash, target_hash });
      expect([sample.acc, sample.acc_norm]).toEqual([acc, acc_norm]);
      expect([sample.word_perplexity?.[1], sample.byte_perplexity?.[1]]).toEqual([word_perplexity?.[1], byte_perplexity?.[1]]);
    });
  });

  it.each(TASKS)('%s: the same aggregates', (task) => {
    const { metrics } = evaluations.get(task)!;
    const { results } = expected[name]![task]!;
    for (const [key, value] of Object.entries(results)) {
      const [metric, filter] = key.split(',') as [string, string?];
      if (filter === undefined) continue;
      if (value === 'N/A') expect(metrics[metric]).toBeNull();
      else if (task === 'wikitext') expect(Math.abs(metrics[metric]! / (value as number) - 1)).toBeLessThan(1e-5);
      else expect(Math.abs(metrics[metric]! - (value as number))).toBeLessThan(1e-9);
    }
  });

  it('the same layout of results, with the same hash over all documents', async () => {
    const options = { routing: 'decode' } as const;
    const tasks = TASKS.map((task) => ({ ...evaluations.get(task)!, name: task, evaluator: evaluatorNamed(task), data: task, options }));
    const written = await harnessResults(
      { model: name, attention: 'mha', router: undefined, backend: 'wasm', weights: 'f32', ...traits, tasks },
      { startedAt: new Date(0), seconds: 1 },
    );
    const reference = JSON.parse(readFileSync(at('results_lm_eval.json'), 'utf8')) as typeof written;
    for (const task of TASKS) {
      expect(Object.keys(written.results[task]!)).toEqual(Object.keys(reference.results[task]!));
      expect(reference.configs[task]).toMatchObject({ task, num_fewshot: written.configs[task]!.num_fewshot });
    }
    for (const key of ['versions', 'n-shot', 'n-samples', 'higher_is_better', 'group_subtasks', 'task_hashes'] as const) {
      expect(written[key]).toEqual(reference[key]);
    }
    const { mixsga, git_hash: _, date: __, ...others } = written;
    expect(mixsga.schema).toBe('mixsga/results@1');
    expect(Object.keys(reference)).toEqual(expect.arrayContaining(Object.keys(others)));

    const [ours, theirs] = [parseHarnessResults(written, 'ours.json'), parseHarnessResults(reference, 'theirs.json')];
    expect(theirs).toMatchObject({ model: 'llama', mixsga: null, date: null });
    for (const task of TASKS) {
      expect(Object.keys(ours.tasks[task]!.metrics)).toEqual(Object.keys(theirs.tasks[task]!.metrics));
      expect(ours.tasks[task]).toMatchObject({ ...theirs.tasks[task], metrics: {} });
    }
  });
});
