import { startBackend } from '@mixsga/backend';
import { registerPolicy, type KvCache } from '@mixsga/kv-cache';
import { policyChecks } from '@mixsga/kv-cache/testing';
import { fromPretrained, generate } from '@mixsga/models';
import { beforeAll, describe, expect, it } from 'vitest';
import { samplePolicy } from './sample-policy';

beforeAll(async () => {
  registerPolicy(samplePolicy);
  await startBackend('wasm');
});

describe('samplePolicy', () => {
  it.each(policyChecks)('$name', ({ run }) => run(samplePolicy));

  it('keeps every token as often as every other', () => {
    const kept = new Array<number>(20).fill(0);
    for (let seed = 0; seed < 2000; seed++) {
      const positions = Int32Array.from({ length: 20 }, (_, i) => i);
      const rank = samplePolicy.rank({ layer: 0, tokensSeen: 21, positions, scores: new Float32Array(20), capacity: 10, seed });
      [...positions].sort((a, b) => rank[b]! - rank[a]!).slice(0, 10).forEach((token) => kept[token]!++);
    }
    // A share of 0.5 ± 0.011 each.
    for (const count of kept) expect(Math.abs(count / 2000 - 0.5)).toBeLessThan(0.06);
  });
});

it('a model generates with it, by its text', async () => {
  const { decoder, tokenizer } = await fromPretrained('sotu-mini', { backend: 'wasm' });
  const run = async (cache: string) => {
    let seen: (number | null)[] = [];
    const onPass = (_: number, passed: KvCache) => {
      seen = Array.from({ length: passed.tokensSeen }, (_, token) => passed.expertOf(0, token));
    };
    const generation = generate(decoder, [tokenizer.encode('Fellow citizens of the Senate and of the House')], { maxNewTokens: 30, cache, onPass });
    for await (const event of generation) void event;
    return seen.flatMap((expert, token) => (expert === null ? [] : [token]));
  };
  const [first, again, other] = [await run('sample:0.5'), await run('sample:0.5'), await run('sample:0.5:7')];
  expect(first).toEqual(again);
  expect(other).toHaveLength(first.length);
  expect(other).not.toEqual(first);
  decoder.dispose();
});
