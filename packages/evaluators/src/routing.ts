import { expectOptions, type LayerRouting, type Routing } from '@mixsga/backend';

import { defineEvaluator } from './evaluator';
import type { LanguageModel, LikelihoodModel } from './language-model';
import { RUN_OPTIONS, runEvaluator, type RunOptions } from './run';
import { batchesOfOneLength, cutWindows, type TextWindow, type WindowOptions } from './windows';

/** Parts of a window that ratios over position are given for. */
const POSITION_BINS = 16;
/** The most frequent tokens that are listed with their experts. */
const LISTED_TOKENS = 50;
const RULES = ['prefill', 'decode'] as const;

/** A value under each routing rule. */
type ByRule<T> = Record<Routing, T>;

/** Of one window. Lists of E numbers count the tokens that each expert got. */
export interface RoutingSample {
  readonly tokens: number;
  /** One entry for each layer that routes: tokens to which both rules give one expert, and the counts of each rule. */
  readonly layers: readonly ({ readonly agreeing: number } & ByRule<number[]>)[];
  /** For each of 16 equal parts of a full window, all layers together. */
  readonly positions: ByRule<number[][]>;
  /** For each token id of the window: the id, how often it stands there, and its counts under decode, all layers together. */
  readonly byToken: readonly number[][];
}

/** How often the two routing rules agree, and what each gives to every expert. */
export interface RoutingSummary {
  /** Share of tokens whose arg max is the expert that expert choice gave them, from the same scores: those of prefill. */
  readonly agreement: number;
  /** Share of tokens of each expert, each rule in a pass where all layers follow it. */
  readonly ratios: ByRule<number[]>;
}

/** Which experts a token gets, as the mean over its places and the layers, under decode. */
export interface TokenExperts {
  readonly id: number;
  /** Where the model has a tokenizer. */
  readonly text?: string;
  readonly count: number;
  /** Share of each expert. */
  readonly ratios: number[];
}

export interface RoutingResult extends RoutingSummary {
  /** One entry for each layer that routes, first layer first. */
  readonly perLayer: RoutingSummary[];
  /** The ratios in each of 16 equal parts of a window, mean over layers; null for a part that no window reaches. */
  readonly overPosition: ByRule<(number[] | null)[]>;
  /** The most frequent tokens, at most 50, with their experts. */
  readonly byToken: TokenExperts[];
  readonly groupSizes: number[];
  /** Tokens routed by each layer. */
  readonly tokens: number;
  readonly windows: number;
  readonly windowLength: number;
}

/**
 * Agreement of prefill and decode routing, and realised ratios by layer, position and token, over disjoint windows of
 * a text. The whole is the mean over layers; every layer sees the same tokens.
 */
export const routingEvaluator = defineEvaluator<TextWindow, RoutingSample, LikelihoodModel>({
  name: 'routing',
  description: 'agreement of prefill and decode routing, and the ratios that each realises, by layer, position and token',
  definition: 'share of tokens with one expert under both rules, from the scores of a prefill pass',
  version: 1,
  reads: 'tokens',
  higherIsBetter: ['agreement'],
  items: (model, { tokens }, options) => disjointWindows('routing', model, tokens!, options),
  async measure(model, items, { windowLength = model.contextLength }) {
    const samples: RoutingSample[] = [];
    for (const { windows, length, inputs } of batchesOfOneLength(items)) {
      const passes = routes(model)
        ? { prefill: await model.routingOf(inputs, { windows, routing: 'prefill' }), decode: await model.routingOf(inputs, { windows, routing: 'decode' }) }
        : { prefill: [], decode: [] };
      for (let row = 0; row < windows; row++) {
        const from = row * length;
        samples.push(tally(inputs.subarray(from, from + length), passes, from, model.kv.ratios.length, windowLength));
      }
    }
    return samples;
  },
  summarise(samples, model, { windowLength = model.contextLength }) {
    if (!routes(model)) return { metrics: { agreement: null }, details: { perLayer: [], windows: samples.length, windowLength } };
    const { agreement, ...details } = summaryOf(samples, model, windowLength);
    return { metrics: { agreement }, details };
  },
});

const { routing: _both, ...OPTIONS } = RUN_OPTIONS;

/**
 * {@link routingEvaluator} on some tokens.
 *
 * @returns null where no layer of the model routes
 * @throws ArgumentError for an option out of range or too few tokens
 */
export async function routing(
  model: LikelihoodModel,
  tokens: Int32Array,
  options: Omit<RunOptions<RoutingSample>, 'routing'> = {},
): Promise<RoutingResult | null> {
  expectOptions<Omit<RunOptions<RoutingSample>, 'routing'>>('routing', options, OPTIONS);
  // The evaluator goes through both rules, whichever is asked for.
  const both = { ...options, routing: 'decode' } as const;
  const { metrics, details } = await runEvaluator(routingEvaluator, model, { name: 'tokens', tokens }, both);
  return routes(model) ? ({ ...metrics, ...details } as unknown as RoutingResult) : null;
}

/** Windows that do not overlap, whatever the stride asked for: each token is routed once. */
export function disjointWindows(who: string, model: LikelihoodModel, tokens: Int32Array, { windowLength, maxWindows }: WindowOptions): TextWindow[] {
  return cutWindows(who, tokens, model.contextLength, { windowLength, maxWindows });
}

export function routes({ kv }: LikelihoodModel): boolean {
  return kv.ratios.length > 1;
}

/** @param from where the window begins in the decisions of the passes */
function tally(tokens: Int32Array, passes: ByRule<readonly LayerRouting[]>, from: number, experts: number, windowLength: number): RoutingSample {
  const none = () => new Array<number>(experts).fill(0);
  const positions = { prefill: Array.from({ length: POSITION_BINS }, none), decode: Array.from({ length: POSITION_BINS }, none) };
  const byToken = new Map<number, number[]>();
  const layers = passes.prefill.map(({ prefill, decode }, layer) => {
    const counts = { agreeing: 0, prefill: none(), decode: none() };
    tokens.forEach((token, t) => {
      const given = { prefill: prefill[from + t]!, decode: passes.decode[layer]!.decode[from + t]! };
      if (given.prefill === decode[from + t]) counts.agreeing += 1;
      const bin = Math.floor((t * POSITION_BINS) / windowLength);
      for (const rule of RULES) {
        counts[rule][given[rule]]! += 1;
        positions[rule][bin]![given[rule]]! += 1;
      }
      let row = byToken.get(token);
      if (!row) byToken.set(token, (row = [token, 0, ...none()]));
      if (layer === 0) row[1]! += 1;
      row[2 + given.decode]! += 1;
    });
    return counts;
  });
  return { tokens: tokens.length, layers, positions, byToken: [...byToken.values()] };
}

function summaryOf(samples: readonly RoutingSample[], model: LikelihoodModel, windowLength: number): RoutingResult {
  const tokens = samples.reduce((sum, sample) => sum + sample.tokens, 0);
  const perLayer = samples[0]!.layers.map((_, layer): RoutingSummary => {
    const counts = samples.map((sample) => sample.layers[layer]!);
    const ratios = (rule: Routing) => shares(total(counts.map((count) => count[rule])));
    return {
      agreement: counts.reduce((sum, { agreeing }) => sum + agreeing, 0) / tokens,
      ratios: { prefill: ratios('prefill'), decode: ratios('decode') },
    };
  });
  const mean = (pick: (s: RoutingSummary) => number) => perLayer.reduce((sum, s) => sum + pick(s), 0) / perLayer.length;
  const ratios = (rule: Routing) => model.kv.ratios.map((_, e) => mean((s) => s.ratios[rule][e]!));
  const overPosition = (rule: Routing) =>
    Array.from({ length: POSITION_BINS }, (_, bin) => {
      const counts = total(samples.map((sample) => sample.positions[rule][bin]!));
      return counts.some((n) => n > 0) ? shares(counts) : null;
    });
  return {
    agreement: mean((s) => s.agreement),
    ratios: { prefill: ratios('prefill'), decode: ratios('decode') },
    perLayer,
    overPosition: { prefill: overPosition('prefill'), decode: overPosition('decode') },
    byToken: frequentTokens(samples, model),
    groupSizes: [...model.kv.groupSizes],
    tokens,
    windows: samples.length,
    windowLength,
  };
}

function frequentTokens(samples: readonly RoutingSample[], model: LikelihoodModel): TokenExperts[] {
  const rows = new Map<number, number[]>();
  for (const [id, ...counts] of samples.flatMap((sample) => sample.byToken)) {
    rows.set(id!, total([rows.get(id!) ?? [], counts]));
  }
  const tokenizer = (model as Partial<LanguageModel>).tokenizer;
  return [...rows]
    .sort(([a, [countA]], [b, [countB]]) => countB! - countA! || a - b)
    .slice(0, LISTED_TOKENS)
    .map(([id, [count, ...experts]]) => ({
      id,
      ...(tokenizer && { text: tokenizer.decode([id]) }),
      count: count!,
      ratios: shares(experts),
    }));
}

/** The sum of lists, place by place. */
function total(lists: readonly (readonly number[])[]): number[] {
  const sums: number[] = [];
  for (const list of lists) list.forEach((value, i) => (sums[i] = (sums[i] ?? 0) + value));
  return sums;
}

function shares(counts: readonly number[]): number[] {
  const sum = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => count / sum);
}
