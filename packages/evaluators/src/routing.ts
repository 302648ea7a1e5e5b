import * as tf from '@tensorflow/tfjs-core';

import { defineEvaluator } from './evaluator';
import type { LanguageModel } from './language-model';
import { batches, planWindows, type WindowOptions } from './windows';

/** How often the two routing rules agree, and what each gives to every expert. */
export interface RoutingSummary {
  /** Share of tokens whose arg max is the expert that expert choice gave them. */
  agreement: number;
  /** Share of tokens of each expert. */
  ratios: { prefill: number[]; decode: number[] };
}

export interface RoutingResult extends RoutingSummary {
  /** One entry for each layer that routes, first layer first. */
  perLayer: RoutingSummary[];
  /** Tokens routed by each layer. */
  tokens: number;
  windows: number;
  windowLength: number;
}

/** Counts of one layer. */
interface Tally {
  agreeing: number;
  prefill: number[];
  decode: number[];
}

/**
 * Agreement of prefill and decode routing, and realised ratios, over disjoint windows of `tokens`. The whole is the
 * mean over layers; every layer sees the same tokens.
 *
 * @returns null where no layer of the model routes
 * @throws ArgumentError for an option out of range or too few tokens
 */
export async function routing(
  model: LanguageModel,
  tokens: Int32Array,
  options: Omit<WindowOptions, 'stride'> = {},
): Promise<RoutingResult | null> {
  const { onProgress, signal, windowLength, batchSize, maxWindows } = options;
  const plan = planWindows('routing', tokens.length, model.contextLength, { windowLength, batchSize, maxWindows });
  const experts = model.kv.ratios.length;
  const tallies: Tally[] = [];
  let seen = 0;
  let windows = 0;
  for (const batch of batches(tokens, plan)) {
    signal?.throwIfAborted();
    const layers = decisionsOf(model, batch.inputs, [batch.windows.length, batch.length]);
    if (layers.length === 0) return null;
    for (const [layer, decisions] of layers.entries()) {
      const [prefill, decode] = await Promise.all([decisions.prefill.data(), decisions.decode.data()]);
      tf.dispose([decisions.prefill, decisions.decode]);
      tally((tallies[layer] ??= emptyTally(experts)), prefill, decode);
    }
    seen += batch.inputs.length;
    windows += batch.windows.length;
    onProgress?.({ windows, of: plan.windows.length });
  }
  const perLayer = tallies.map((t) => summary(t, seen));
  return { ...meanOf(perLayer), perLayer, tokens: seen, windows, windowLength: plan.windowLength };
}

/** Both decisions of every layer; the scores are disposed. */
function decisionsOf(model: LanguageModel, inputs: Int32Array, shape: [number, number]) {
  return tf.tidy(() =>
    model.routingOf(tf.tensor2d(inputs, shape, 'int32')).map(({ prefill, decode }) => ({ prefill, decode })),
  );
}

function tally(into: Tally, prefill: ArrayLike<number>, decode: ArrayLike<number>): void {
  for (let i = 0; i < prefill.length; i++) {
    const p = prefill[i]!;
    const d = decode[i]!;
    into.prefill[p]! += 1;
    into.decode[d]! += 1;
    if (p === d) into.agreeing += 1;
  }
}

function emptyTally(experts: number): Tally {
  return { agreeing: 0, prefill: new Array<number>(experts).fill(0), decode: new Array<number>(experts).fill(0) };
}

function summary(counts: Tally, tokens: number): RoutingSummary {
  return {
    agreement: counts.agreeing / tokens,
    ratios: { prefill: counts.prefill.map((n) => n / tokens), decode: counts.decode.map((n) => n / tokens) },
  };
}

function meanOf(layers: readonly RoutingSummary[]): RoutingSummary {
  const mean = (pick: (s: RoutingSummary) => number) => layers.reduce((sum, s) => sum + pick(s), 0) / layers.length;
  const ratios = (rule: 'prefill' | 'decode') => layers[0]!.ratios[rule].map((_, e) => mean((s) => s.ratios[rule][e]!));
  return { agreement: mean((s) => s.agreement), ratios: { prefill: ratios('prefill'), decode: ratios('decode') } };
}

export default defineEvaluator({
  name: 'routing',
  description: 'agreement of prefill and decode routing, and the ratios that each realises',
  evaluate: routing,
});
