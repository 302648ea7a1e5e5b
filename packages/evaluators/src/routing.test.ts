import { describe, expect, it } from 'vitest';

import type { LikelihoodModel } from './language-model';
import { routing } from './routing';
import { BigramModel } from './testing';

const uniform = (size: number) => Array.from({ length: size }, () => new Array<number>(size).fill(0));
const routed = () =>
  new BigramModel({ logits: uniform(8), contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 2 });

describe('routing', () => {
  it('measures agreement and ratios by layer and overall', async () => {
    const model = routed();
    // Prefill alternates by place, decode by token, so on 0 1 2 3 … layer 0 agrees everywhere and layer 1 nowhere.
    const counting = Int32Array.from({ length: 33 }, (_, i) => i % 8);
    expect(await routing(model, counting)).toMatchObject({
      agreement: 0.5,
      ratios: { prefill: [0.5, 0.5], decode: [0.5, 0.5] },
      perLayer: [
        { agreement: 1, ratios: { prefill: [0.5, 0.5], decode: [0.5, 0.5] } },
        { agreement: 0, ratios: { prefill: [0.5, 0.5], decode: [0.5, 0.5] } },
      ],
      tokens: 32,
      windows: 4,
      windowLength: 8,
    });
    // All tokens 0: decode gives everything to expert 0 in layer 0 and to expert 1 in layer 1.
    const zeros = (await routing(model, new Int32Array(33)))!;
    expect(zeros.perLayer.map((layer) => layer.ratios.decode)).toEqual([[1, 0], [0, 1]]);
    expect(zeros.perLayer.map((layer) => layer.agreement)).toEqual([0.5, 0.5]);
  });

  it('tells ratios over the parts of a window, and which tokens get which expert', async () => {
    // Windows of 8 places fill every second of 16 parts; tokens 1 and 3, and a last short window of one token.
    const tokens = Int32Array.from({ length: 18 }, (_, i) => (i % 4 === 0 ? 3 : 1));
    const { overPosition, byToken } = (await routing(routed(), tokens))!;
    expect(overPosition.prefill).toHaveLength(16);
    overPosition.prefill.forEach((ratios, part) => {
      const place = part / 2;
      expect(ratios).toEqual(part % 2 === 1 ? null : place % 2 === 0 ? [1, 0] : [0, 1]);
    });
    // Odd tokens get expert 1 in layer 0, expert 0 in layer 1.
    expect(overPosition.decode[0]).toEqual([0.5, 0.5]);
    expect(byToken).toEqual([
      { id: 1, text: 'b', count: 12, ratios: [0.5, 0.5] },
      { id: 3, text: 'd', count: 5, ratios: [0.5, 0.5] },
    ]);
    const three = new BigramModel({ logits: uniform(8), contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 3 });
    expect((await routing(three, tokens))!.byToken).toEqual([
      { id: 1, text: 'b', count: 12, ratios: [1 / 3, 2 / 3] },
      { id: 3, text: 'd', count: 5, ratios: [1 / 3, 2 / 3] },
    ]);
    // At most 50 are listed, the most frequent first and the lower of two as frequent.
    const many = new BigramModel({ logits: uniform(60), contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 1 });
    const listed = (await routing(many, Int32Array.from({ length: 63 }, (_, i) => (i < 3 ? 59 : Math.max(0, 61 - i))), { batchSize: 1 }))!.byToken;
    expect(listed.map(({ id }) => id)).toEqual([59, ...Array.from({ length: 49 }, (_, i) => i)]);
    const single = new BigramModel({ logits: uniform(8), contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 1 });
    expect((await routing(single, tokens))!.byToken.map(({ ratios }) => ratios)).toEqual([[0, 1], [0, 1]]);
  });

  it('does not depend on the batch, and counts a short last window by its tokens', async () => {
    const model = routed();
    const tokens = Int32Array.from({ length: 22 }, (_, i) => (i * i) % 8);
    const reference = await routing(model, tokens, { batchSize: 1 });
    expect(reference!.tokens).toBe(21);
    expect(await routing(model, tokens, { batchSize: 5 })).toEqual(reference);
    // Places 0 to 7, 0 to 7, 0 to 4: 11 even ones.
    expect(reference!.ratios.prefill[0]).toBeCloseTo(11 / 21, 12);
  });

  it('takes the ratios of each rule from a pass that follows it, and agreement from the prefill pass', async () => {
    const inner = routed();
    // In a decode pass this model routes as if every token were 0.
    const model: LikelihoodModel = {
      contextLength: inner.contextLength,
      kv: inner.kv,
      likelihood: (inputs, targets, options) => inner.likelihood(inputs, targets, options),
      routingOf: (inputs, options) => inner.routingOf(options.routing === 'prefill' ? inputs : inputs.map(() => 0), options),
    };
    const result = (await routing(model, Int32Array.from({ length: 33 }, (_, i) => i % 8)))!;
    expect(result.perLayer).toEqual([
      { agreement: 1, ratios: { prefill: [0.5, 0.5], decode: [1, 0] } },
      { agreement: 0, ratios: { prefill: [0.5, 0.5], decode: [0, 1] } },
    ]);
  });

  it('is null where no layer routes', async () => {
    const model = new BigramModel({ logits: uniform(4) });
    expect(await routing(model, new Int32Array(9))).toBeNull();
  });

  it('stops when aborted', async () => {
    const model = routed();
    await expect(routing(model, new Int32Array(9), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
