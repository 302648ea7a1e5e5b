// Likelihoods of every family against the logits of Hugging Face transformers.
import { type BackendName, describeBackends, startBackend } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';
import { EVERY, fixtures, readFixture } from './fixture';
import { observedDecoder } from './observed-decoder';
import { sample, variants } from './variants';

/** Nats. */
const TOLERANCE = 1e-4;

/** −log softmax(logits)[target] in double precision, and whether it is the first of the largest. */
function plainLikelihood(logits: Float32Array, target: number): { nll: number; greedy: number } {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return { nll: largest + Math.log(sum) - logits[target]!, greedy: logits.indexOf(largest) === target ? 1 : 0 };
}

const backends = (await describeBackends()).filter(({ available }) => available).map(({ name }) => name);

describe.each(backends)('on %s', (backend: BackendName) => {
  const tried = backend === 'webgpu' ? sample : { fixtures, variants };

  it.each(tried.fixtures)('%s has the likelihoods of the reference', async (name) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const logits = await fixture.reference('logits');
    const { decoder, hidden } = await observedDecoder(fixture);
    const inputs = Int32Array.from([...fixture.golden.prompt, ...fixture.golden.greedy]);
    // The tokens themselves, and after the last any.
    const targets = Int32Array.of(...inputs.subarray(1), 0);
    const expected = logits.map((row, t) => plainLikelihood(row, targets[t]!));
    for (const routing of ['prefill', 'decode'] as const) {
      const { nll, greedy } = await decoder.likelihood(inputs, targets, { routing });
      nll.forEach((value, t) => expect(Math.abs(value - expected[t]!.nll), `${routing}, token ${t}`).toBeLessThan(TOLERANCE));
      expect([...greedy], routing).toEqual(expected.map(({ greedy }) => greedy));
    }
    // What the reference took greedily is greedy here.
    expect(expected.slice(fixture.golden.prompt.length - 1, -1).every(({ greedy }) => greedy === 1)).toBe(true);
    await hidden();
    decoder.dispose();
  });

  it.each(tried.variants)('%s under %s has those of the reference and its experts, under both routings', async (name, attention) => {
    await startBackend(backend);
    const fixture = await readFixture(name);
    const { prompt } = fixture.golden;
    const { greedy: continuation, experts } = fixture.golden.variants![attention]!;
    const { decoder, hidden } = await observedDecoder(fixture, attention);

    const inputs = Int32Array.from(prompt);
    const targets = Int32Array.of(...prompt.slice(1), continuation[0]!);
    const together = await decoder.likelihood(inputs, targets, { routing: 'prefill' });
    const { nll } = plainLikelihood((await fixture.reference(`${attention}/prefill`))[0]!, continuation[0]!);
    expect(Math.abs(together.nll.at(-1)! - nll)).toBeLessThan(TOLERANCE);
    expect(together.greedy.at(-1)).toBe(1);
    const layers = await decoder.routingOf(inputs, { routing: 'prefill' });
    expect(layers.map(({ prefill }) => [...prefill])).toEqual((experts ?? []).map((layer) => layer.slice(0, prompt.length)));

    const alone = await decoder.likelihood(inputs, targets, { routing: 'decode' });
    const decode = await fixture.reference(`${attention}/decode`);
    for (let t = EVERY - 1, i = 0; t < prompt.length; t += EVERY, i++) {
      expect(Math.abs(alone.nll[t]! - plainLikelihood(decode[i]!, targets[t]!).nll), `token ${t}`).toBeLessThan(TOLERANCE);
    }
    await hidden();
    decoder.dispose();
  });
});
