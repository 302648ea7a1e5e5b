import { describe, expect, it } from 'vitest';

import { runEvaluator } from './run';
import { BigramModel } from './testing';
import { type ImportanceOfWindow, tokenImportance } from './token-importance';

const uniform = new BigramModel({ logits: Array.from({ length: 9 }, () => new Array<number>(9).fill(0)), contextLength: 4 });
const run = (tokens: number[], maxWindows?: number) =>
  runEvaluator(tokenImportance, uniform, { name: 'text', tokens: Int32Array.from(tokens) }, { routing: 'decode', maxWindows });

describe('token_importance', () => {
  it("is the change of the window's perplexity with one token collapsed", async () => {
    const { metrics, details, samples } = await run([0, 8, 0, 4, 0]);
    // A collapsed token i costs i / 100 nats in each prediction from its place on.
    const changes = [0, Math.expm1((3 * 0.08) / 4), 0, Math.expm1(0.04 / 4)];
    const [window] = details.windows as ImportanceOfWindow[];
    expect(window!.perplexity).toBeCloseTo(9, 4);
    expect(window!.tokens).toEqual(['a', 'i', 'a', 'e']);
    window!.changes.forEach((change, t) => expect(change).toBeCloseTo(changes[t]!, 6));
    const sum = changes[1]! + changes[3]!;
    expect(metrics.mean_change).toBeCloseTo(sum / 4, 6);
    expect(metrics.share_below_1_percent).toBe(0.5);
    expect(metrics.top_10_percent_share).toBeCloseTo(changes[1]! / sum, 5);
    expect(metrics.gini).toBeCloseTo((3 * changes[1]! + changes[3]!) / (4 * sum), 5);
    expect(samples).toHaveLength(5);
  });

  it('takes a single window unless more are asked for', async () => {
    const tokens = Array.from({ length: 13 }, (_, i) => i % 9);
    expect((await run(tokens)).samples).toHaveLength(5);
    const { details, samples } = await run(tokens, 3);
    expect(samples).toHaveLength(15);
    expect((details.windows as ImportanceOfWindow[]).map(({ tokens }) => tokens.join(''))).toEqual(['abcd', 'efgh', 'iabc']);
  });

  it('has no shares where nothing changes', async () => {
    expect((await run([0, 0, 0])).metrics).toEqual({ mean_change: 0, share_below_1_percent: 1, gini: null, top_10_percent_share: null });
  });
});
