import { nextTask } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';

import { defineEvaluator } from './evaluator';
import type { LanguageModel, LayerRouting, Routing } from './language-model';
import { batches, planWindows, type WindowOptions } from './windows';

/** How often the two routing rules agree, and what each gives to every expert. */
export interface RoutingSummary {
  /** Share of tokens whose arg max is the expert that expert choice gave them, from the same scores: those of prefill. */
  agreement: number;
  /** Share of tokens of each expert, each rule in a pass where all layers follow it. */
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
    await nextTask();
    signal?.throwIfAborted();
    const shape: [number, number] = [batch.windows.length, batch.length];
    const prefilled = await decisions(model, batch.inputs, shape, 'prefill');
    if (prefilled.length === 0) return null;
    const decoded = await decisions(model, batch.inputs, shape, 'decode');
    prefilled.forEach(({ prefill, decode }, layer) => {
      const counts = (tallies[layer] ??= emptyTally(experts));
      for (let i = 0; i < prefill.length; i++) if (prefill[i] === decode[i]) counts.agreeing += 1;
      for (const expert of prefill) counts.prefill[expert]! += 1;
      for (const expert of decoded[layer]!.decode) counts.decode[expert]! += 1;
    });
    seen += batch.inputs.length;
    windows += batch.windows.length;
    onProgress?.({ windows, of: plan.windows.length });
  }
  const perLayer = tallies.map((t) => summary(t, seen));
  return { ...meanOf(perLayer), perLayer, tokens: seen, windows, windowLength: plan.windowLength };
}

/** Both decisions of every layer, in a pass that follows `routing`. */
async function decisions(model: LanguageModel, inputs: Int32Array, shape: [number, number], routing: Routing) {
  const ids = tf.tensor2d(inputs, shape, 'int32');
  const layers = model.routingOf(ids, { routing });
  try {
    return await Promise.all(
      layers.map(async ({ prefill, decode }) => ({ prefill: await prefill.data(), decode: await decode.data() })),
    );
  } finally {
    ids.dispose();
    disposeRouting(layers);
  }
}

function disposeRouting(layers: readonly LayerRouting[]): void {
  for (const { prefill, decode, scores } of layers) tf.dispose([prefill, decode, scores ?? []]);
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
