import type { Report, ReportExtras } from '@mixsga/training';

import { budgetText, count, duration, perplexityText } from './format';
import { nameLines } from './names';
import { byBudget, frontierLines } from './ranking';
import { type MethodSummary, summarise } from './summary';
import { markdownEvaluations, markdownTable } from './table';
import { judge, judgeAblations } from './verdict';

/** File names of the plots, beside the report. */
export const PLOTS = { budget: 'perplexity-kv.svg', curves: 'training-curves.svg', sentence: 'sentence.svg' } as const;

/** The report in plain words. */
export function reportMarkdown(report: Report, extras: ReportExtras): string {
  const methods = summarise(report);
  const { sentence, remarks } = judge(methods);
  const ablations = judgeAblations(methods);
  const evaluations = markdownEvaluations(report);
  const sections = [
    '# Does routing tokens to grouped-attention experts keep more of the model?',
    'The question: at the same size of KV cache, does giving each token one of several weight-shared grouped-attention experts (mixSGA) ' +
      'keep more of a language model than grouping the KV heads of all tokens alike (GQA)?',
    '## The answer of this run',
    [sentence, ...remarks].join(' '),
    markdownTable(report),
    seedNote(methods),
    `![Perplexity against KV bytes per token](${PLOTS.budget})`,
    ...frontierSection(methods),
    ...(evaluations ? ['## What the tasks found', evaluations, taskNote(evaluations)] : []),
    ...(ablations.length ? ["## What the method's parts are worth", bullets(ablations)] : []),
    '## What the names mean',
    bullets(nameLines(methods)),
    '## How to read the numbers',
    bullets(HOW_TO_READ),
    ...prefillGap(methods),
    ...(extras.curves?.length
      ? ['## While training', `![Validation loss against tokens](${PLOTS.curves})`, 'If the curves still fall at the end, more training may change the order.']
      : []),
    ...(extras.sentence
      ? ['## A sentence, coloured by expert', `![A sentence coloured by expert](${PLOTS.sentence})`]
      : []),
    '## What was run',
    setting(report, methods),
  ];
  return `${sections.filter(Boolean).join('\n\n')}\n`;
}

/** Lines as a Markdown list. */
export function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join('\n');
}

/** What the names of the tasks' columns mean. */
export function taskNote(evaluations: string): string {
  const cache = evaluations.includes('kv_bytes_per_token_cache')
    ? ' A task with `kv_bytes_per_token_cache` took the text token by token through a KV cache that is limited: H2O evicts the tokens that got the least attention, a KV budget compresses them further.'
    : '';
  return `A column is TASK.METRIC.${cache}`;
}

export const HOW_TO_READ = [
  '**Perplexity**: windowed token perplexity of validation text that no method trained on. Lower is better. Numbers under different tokenizers do not compare.',
  '**Decode routing**: each token gets the expert with the highest of its own scores, as when text is generated one token at a time. This is the number that counts.',
  '**Prefill routing**: experts choose tokens from the whole window at the asked ratios, as in training. Later tokens so influence the expert ' +
    'of an earlier one, a little of the future leaks into its prediction, and the perplexity is not strictly autoregressive. It shows what the experts can do when the ratios are kept.',
  '**Agreement**: the share of tokens to which both rules give the same expert. **KV used**, and the bytes a token under decode: what the experts chosen under decode routing cost, where nothing enforces the ratios.',
  '**KV cache**, and **bytes/token**: what a method was asked to keep, as a share of the unmodified cache and in bytes over all layers, those of the expert index counted.',
];

function seedNote(methods: readonly MethodSummary[]): string {
  const seeds = Math.max(...methods.map((method) => method.seeds.length));
  return seeds > 1 ? `Means of ${seeds} seeds, in brackets the lowest and the highest. Ratios in percent, costliest expert first.` : 'Ratios in percent, costliest expert first.';
}

/** Where the table alone does not show it: methods of series, or of several budgets. */
function frontierSection(methods: readonly MethodSummary[]): string[] {
  const several = byBudget(methods).filter(({ length }) => length > 1).length > 1;
  const lines = several || methods.some(({ series }) => series !== null) ? frontierLines(methods) : [];
  return lines.length ? ['## The best at each budget', bullets(lines)] : [];
}

function prefillGap(methods: readonly MethodSummary[]): string[] {
  const lines = methods
    .filter((method) => method.realisedRatios !== null && method.ablation === null)
    .map((method) => `${method.name}: ${perplexityText(method.perplexity.prefill)} under prefill routing, ${perplexityText(method.perplexity.decode)} under decode routing`);
  return lines.length ? [`What token-wise decoding costs here: ${lines.join('; ')}.`] : [];
}

function setting(report: Report, methods: readonly MethodSummary[]): string {
  const { parameters, layers, heads, hidden } = report.model;
  const tokens = [...new Set(methods.map((method) => method.tokens))].map(count).join(' or ');
  const seeds = [...new Set(report.methods.map((method) => method.seed))].join(', ');
  const budgets = [...new Set(methods.map((method) => budgetText(method.kvBudget)))].join(', ');
  return [
    `- Base model: ${count(parameters)} parameters, ${layers} layers, ${heads} heads, hidden size ${hidden}. Every method starts from it.`,
    `- Corpus: ${report.corpus}. Each method continued on ${tokens} tokens, the same for all, in the same order.`,
    `- Seeds: ${seeds}. KV budgets: ${budgets} of the unmodified cache.`,
    `- Backend: ${report.backend}. Time: ${duration(report.seconds)}. All numbers: report.json (${report.schema}).`,
  ].join('\n');
}
