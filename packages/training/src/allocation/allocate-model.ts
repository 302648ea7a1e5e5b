import { ArgumentError, type BackendName, expectOptions, startBackend, type WeightType } from '@mixsga/backend';
import { perplexity } from '@mixsga/evaluators';
import { allocateRatios, kvShare, ratioLadder } from '@mixsga/experts';
import { type AttentionVariant, fromPretrained, inspectModel, languageModel, parseAttention, type Tokenizer } from '@mixsga/models';

import { downloadProgress } from '../progress/download-progress';
import { loadCorpus } from '../data/corpus';
import type { PART_NAMES } from '../data/split';
import { tokenizeCorpus } from '../data/tokenized-corpus';
import { paceText } from '../progress/pace';
import type { ProgressLine } from '../progress/progress-line';

/** Of a text, more is not looked at: windows are spread evenly over these. */
const MAXIMUM_TOKENS = 2 ** 24;

export interface AllocateOptions {
  /** A variant with experts of any type, whose ratios are the middle of the ladder. */
  readonly attention: string;
  /** Share of the unmodified KV cache to keep; default: what `attention` keeps. */
  readonly budget?: number | undefined;
  /** Whether heads are aligned before they are grouped; for variants that group keys and values alike. */
  readonly align?: boolean | undefined;
  /** Rungs of the ladder below and above the ratios of `attention`, each. Default 4. */
  readonly steps?: number | undefined;
  /** The text: `sotu`, or what `loadCorpus` takes. */
  readonly data: string;
  /** Part of the text. Measured on the training part, the choice has seen nothing of what it is judged by. */
  readonly split: (typeof PART_NAMES)[number];
  readonly maxWindows: number;
  readonly windowLength?: number | undefined;
  readonly backend: BackendName | 'auto';
  readonly weights: WeightType;
  readonly signal?: AbortSignal | undefined;
  readonly line?: Pick<ProgressLine, 'show'> | undefined;
}

/** A layer as it was measured, and what it gets. */
export interface AllocatedLayer {
  /** The ladder, the smallest budget first; `loss` is in nats a token more than with every layer at the last rung. */
  readonly rungs: readonly { readonly ratios: readonly number[]; readonly budget: number; readonly loss: number }[];
  readonly ratios: readonly number[];
  readonly budget: number;
}

export interface AllocatedModel {
  readonly model: string;
  readonly attention: string;
  readonly align: boolean;
  readonly backend: string;
  readonly weights: WeightType;
  readonly corpus: string;
  readonly split: string;
  readonly tokens: number;
  readonly windows: number;
  readonly windowLength: number;
  /** Nats a token with every layer at the last rung. */
  readonly nll: number;
  readonly budget: number;
  readonly layers: readonly AllocatedLayer[];
  /** Σ over layers of the loss that was measured of each alone, and the same with uniform ratios. */
  readonly loss: number;
  readonly uniformLoss: number;
  /** The attention variant with the ratios that were found. */
  readonly spec: string;
}

/**
 * Chooses each layer's capacity ratios under one KV budget. Each layer alone is moved along a ladder of ratios while all others stay at
 * its top, the most expensive expert (of `mixsga:3:1:6` the unmodified model), and the loss in log-likelihood on a text is measured;
 * `allocateRatios` then finds the ratios with the least loss in sum. Routers are untrained then: the ratios are kept exactly (prefill routing) and which token gets which expert is
 * as good as random.
 *
 * @param model a folder, the name of a shipped model, or an id of the hub; with plain attention
 * @throws ArgumentError when the variant has no experts, does not fit or has no heads to align, or the budget is beyond its ladder; FileError when model or
 *   text cannot be had or are broken; BackendError; the signal's reason
 */
export async function allocateModel(model: string, options: AllocateOptions): Promise<AllocatedModel> {
  expectOptions('allocateModel', options, {
    attention: true, budget: true, align: true, steps: true, data: true, split: true, maxWindows: true, windowLength: true, backend: true, weights: true,
    signal: true, line: true,
  });
  const { align = false, steps = 4, data, split, maxWindows, windowLength, weights, signal, line } = options;
  const variant = parseAttention(options.attention);
  const { experts } = variant;
  if (!experts) {
    throw new ArgumentError(`--attention: expected a variant whose tokens are routed to experts, such as mixsga:3:1:6, got ${variant.spec}`);
  }
  const { layers } = await inspectModel(model, variant.spec);
  const { sizes: groupSizes } = experts;
  const ladder = ratioLadder(experts.ratios, groupSizes, steps);
  const budget = options.budget ?? variant.kvShare;
  // Says at once what the search would say at the end.
  const allocate = (losses: readonly (readonly number[])[]) =>
    allocateRatios(losses.map((own) => ladder.map((ratios, rung) => ({ ratios, loss: own[rung]! }))), { budget, groupSizes });
  allocate(Array.from({ length: layers }, () => ladder.map(() => 0)));

  const { name: backend } = await startBackend(options.backend);
  const progress = line && downloadProgress(line);
  const last = ladder.length - 1;
  const pace = paceText();
  let text: { name: string; tokens: Int32Array } | undefined;
  let measured = 0;
  const measure = async (rungs: readonly number[]) => {
    const spec = experts.withRatios(rungs.map((rung) => ladder[rung]!)).spec;
    const pretrained = await fromPretrained(model, { attention: spec, align, weights, signal, progress });
    try {
      text ??= await readText(pretrained.tokenizer, { data, split, signal });
      return await perplexity(languageModel(pretrained), text.tokens, {
        routing: 'prefill', maxWindows, ...(windowLength !== undefined && { windowLength }), ...(signal && { signal }),
        onProgress: ({ done, of }) => line?.show(`windows: ${pace({ done: measured * of + done, of: (1 + layers * last) * of })}`),
      });
    } finally {
      measured += 1;
      pretrained.decoder.dispose();
    }
  };
  const top = new Array<number>(layers).fill(last);
  const whole = await measure(top);
  const losses: number[][] = [];
  for (let layer = 0; layer < layers; layer++) {
    const own: number[] = [];
    for (let rung = 0; rung < last; rung++) own.push((await measure(top.with(layer, rung))).nll - whole.nll);
    losses.push([...own, 0]);
  }
  const found = allocate(losses);
  return {
    model, attention: variant.spec, align, backend, weights,
    corpus: text!.name, split, tokens: whole.tokens, windows: whole.windows, windowLength: whole.windowLength,
    nll: whole.nll,
    budget,
    layers: losses.map((own, layer) => ({
      rungs: ladder.map((ratios, rung) => ({ ratios, budget: kvShare(ratios, groupSizes), loss: own[rung]! })),
      ratios: found.ratios[layer]!,
      budget: found.budgets[layer]!,
    })),
    loss: found.loss,
    uniformLoss: found.uniformLoss,
    spec: specOf(experts, found.ratios, budget),
  };
}

function specOf(experts: NonNullable<AttentionVariant['experts']>, ratios: readonly (readonly number[])[], budget: number): string {
  return experts.withRatios(ratios, Number(budget.toFixed(4))).spec;
}

async function readText(
  tokenizer: Tokenizer, { data, split, signal }: Pick<AllocateOptions, 'data' | 'split' | 'signal'>,
): Promise<{ name: string; tokens: Int32Array }> {
  const corpus = await loadCorpus(data, { signal });
  const { [split]: tokens, close } = await tokenizeCorpus(corpus, tokenizer, { signal });
  const read = tokens.subarray(0, Math.min(tokens.length, MAXIMUM_TOKENS));
  close();
  return { name: corpus.name, tokens: read };
}
