import { describe, expect, it } from 'vitest';

import { kvAccounting, kvAccountingEvaluator } from './kv-accounting';
import { runEvaluator } from './run';
import { BigramModel } from './testing';

describe('kvAccounting', () => {
  const opt125m = {
    kv: { bytesPerToken: 36867, bytesPerTokenFull: 73728, budget: 0.5, groupSizes: [1, 2, 4], ratios: [0.3, 0.1, 0.6] },
  };
  const measured = (prefill: number[], decode: number[]) => ({ ratios: { prefill, decode } });

  it("reports what is asked, the paper's Table 9", () => {
    expect(kvAccounting(opt125m)).toEqual({
      kvBytesPerToken: 36867, kvBytesPerTokenFull: 73728, kvBudget: 0.5, realised: null,
    });
  });

  it('finds the bytes that the realised ratios cost', () => {
    const { realised } = kvAccounting(opt125m, measured([0.3, 0.1, 0.6], [1 / 3, 1 / 3, 1 / 3]));
    expect(realised!.prefill.kvBudget).toBeCloseTo(0.5, 12);
    expect(realised!.prefill.kvBytesPerToken).toBeCloseTo(36867, 6);
    // A third of each: (1 + 1/2 + 1/4) / 3 of 73728, and 3 bytes of index.
    expect(realised!.decode.kvBudget).toBeCloseTo(7 / 12, 12);
    expect(realised!.decode.kvBytesPerToken).toBeCloseTo((73728 * 7) / 12 + 3, 6);
  });
});

describe('kv_accounting', () => {
  const logits = Array.from({ length: 8 }, () => new Array<number>(8).fill(0));
  const data = { name: 'zeros', tokens: new Int32Array(33) };

  it('sets what is asked beside what the tokens and a cache cost', async () => {
    const model = new BigramModel({ logits, contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 2 });
    const { metrics, details } = await runEvaluator(kvAccountingEvaluator, model, data, { routing: 'decode' });
    // Tokens are all 0: decode gives them to the whole expert in layer 0 and to the half one in layer 1.
    expect(metrics).toEqual({
      kv_budget: 0.75, kv_budget_prefill: 0.75, kv_budget_decode: 0.75, kv_bytes_per_token: 768, kv_bytes_per_token_cache: 768,
    });
    expect(details).toMatchObject({
      cache: { promptTokens: 4, newTokens: 4, tokensSeen: 7, kvBytesUsed: 7 * 768, kvBytesAllocated: 2 * 7 * 768, expertCounts: [7, 0] },
    });
  });

  it('has nothing realised where the model does not route', async () => {
    const { metrics, details } = await runEvaluator(kvAccountingEvaluator, new BigramModel({ logits }), data, {
      routing: 'decode', cache: 'h2o:0.5',
    });
    expect(metrics).toMatchObject({ kv_budget: 1, kv_budget_prefill: null, kv_budget_decode: null });
    expect(details).toMatchObject({ realised: null, eviction: 'h2o:0.5' });
  });
});
