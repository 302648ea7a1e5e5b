import { ArgumentError, BackendError, SeededRandom } from '@mixsga/backend';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sampler, type SamplingOptions, validateSampling } from './sampling';

const DRAWS = 20_000;
const logits = (...values: number[]) => Float32Array.from(values);
const logarithms = (...odds: number[]) => logits(...odds.map(Math.log));

/** How often each token comes. The sampler sees no history of its own draws: each draw is of a new text. */
function frequencies(scores: Float32Array, options: SamplingOptions, prompt: number[] = []): number[] {
  const counts = new Array<number>(scores.length).fill(0);
  for (let seed = 0; seed < DRAWS; seed++) {
    counts[new Sampler({ ...options, seed }, prompt, []).next(scores)]! += 1;
  }
  return counts;
}

/** Pearson's χ² against a distribution; a token of probability 0 must not have come. */
function chiSquare(counts: readonly number[], probabilities: readonly number[]): number {
  return counts.reduce((sum, count, token) => {
    const expected = DRAWS * probabilities[token]!;
    if (expected === 0) expect(count).toBe(0);
    return expected === 0 ? sum : sum + (count - expected) ** 2 / expected;
  }, 0);
}

describe('draws follow the distribution', () => {
  // Odds 8:4:2:1:1. The limit of χ² is what chance exceeds once in 1000 for 4 degrees of freedom.
  const scores = logarithms(8, 4, 2, 1, 1);
  it.each<[string, SamplingOptions, number[]]>([
    ['of the logits', { temperature: 1 }, [8 / 16, 4 / 16, 2 / 16, 1 / 16, 1 / 16]],
    ['at temperature 0.5, which squares the odds', { temperature: 0.5 }, [64 / 86, 16 / 86, 4 / 86, 1 / 86, 1 / 86]],
    ['at temperature 2', { temperature: 2 }, [8, 4, 2, 1, 1].map((odds) => Math.sqrt(odds) / (Math.sqrt(8) + 4 + Math.SQRT2))],
    ['of the 2 likeliest', { temperature: 1, topK: 2 }, [2 / 3, 1 / 3, 0, 0, 0]],
    ['of the 4 likeliest with one as likely as the 4th', { temperature: 1, topK: 4 }, [8 / 16, 4 / 16, 2 / 16, 1 / 16, 1 / 16]],
    ['of more than there are', { temperature: 1, topK: 9 }, [8 / 16, 4 / 16, 2 / 16, 1 / 16, 1 / 16]],
    ['of 0.45: the first reaches it', { temperature: 1, topP: 0.45 }, [1, 0, 0, 0, 0]],
    ['of 0.7: the first has 0.5, two have 0.75', { temperature: 1, topP: 0.7 }, [2 / 3, 1 / 3, 0, 0, 0]],
    ['of 0.9: the lower of two equal ids comes in', { temperature: 1, topP: 0.9 }, [8 / 15, 4 / 15, 2 / 15, 1 / 15, 0]],
    ['of 0.7 among the 3 likeliest: 8/14 and 12/14', { temperature: 1, topK: 3, topP: 0.7 }, [2 / 3, 1 / 3, 0, 0, 0]],
    ['of 0.7 after the temperature: 64/86 is enough', { temperature: 0.5, topP: 0.7 }, [1, 0, 0, 0, 0]],
  ])('%s', (_, options, probabilities) => {
    expect(chiSquare(frequencies(scores, options), probabilities)).toBeLessThan(18.47);
  });

  it('with tokens of the prompt made less likely, once each, before the temperature', () => {
    // 2 / 2 = 1, −1 · 2 = −2, and 0 stays.
    const scores = logits(2, -1, 0, 1);
    const odds = [Math.E ** 2, Math.E ** -4, 1, Math.E ** 2];
    const sum = odds.reduce((a, b) => a + b);
    const counts = frequencies(scores, { temperature: 0.5, repetitionPenalty: 2 }, [0, 1, 2, 0, 0]);
    expect(chiSquare(counts, odds.map((each) => each / sum))).toBeLessThan(16.27);
    expect([...scores]).toEqual([2, -1, 0, 1]);
  });
});

describe('Sampler', () => {
  it('chooses like the plain algorithm, which sorts', () => {
    const option = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -30, max: 30 }), { minLength: 1, maxLength: 60 }),
        fc.record({
          temperature: fc.constantFrom(0.3, 1, 4),
          topK: option(fc.integer({ min: 1, max: 70 })),
          topP: option(fc.double({ min: 0.01, max: 1, noNaN: true })),
          seed: fc.nat(1000),
        }),
        (tenths, options) => {
          const scores = Float32Array.from(tenths, (tenth) => tenth / 10);
          const sampler = new Sampler(options, [], []);
          const random = new SeededRandom(options.seed);
          for (let i = 0; i < 5; i++) expect(sampler.next(scores)).toBe(plainDraw(scores, options, random.next()));
        },
      ),
      { seed: 7, numRuns: 500 },
    );
  });

  it('takes the likeliest at temperature 0, ties to the lower id', () => {
    const sampler = new Sampler({}, [], []);
    expect(sampler.want).toBe('argMax');
    expect(sampler.next(logits(-3, -1, -2, -1))).toBe(1);
    expect(new Sampler({ repetitionPenalty: 2 }, [1], []).want).toBe('logits');
    expect(new Sampler({ temperature: 1 }, [], []).want).toBe('logits');
  });

  it('penalises what it chose itself', () => {
    const sampler = new Sampler({ repetitionPenalty: 10 }, [3], []);
    const scores = logits(4, 3, 2, 5, 0.39);
    // 5/10 from the start; then 4/10, 3/10, 2/10 as they are taken.
    expect(Array.from({ length: 6 }, () => sampler.next(scores))).toEqual([0, 1, 2, 3, 3, 3]);
  });

  it('lets no n-gram come twice', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(2), { maxLength: 12 }), fc.nat(99), (size, prompt, seed) => {
        const random = new SeededRandom(seed);
        const sampler = new Sampler({ noRepeatNgramSize: size }, prompt, []);
        const text = [...prompt];
        for (let i = 0; i < 20; i++) {
          const scores = Float32Array.from({ length: 5 }, () => random.normal());
          const gram = (end: number) => text.slice(end - size, end).join();
          const repeats = (token: number) => {
            const ending = [...text.slice(text.length - size + 1), token].slice(-size).join();
            for (let end = size; end <= text.length; end++) if (gram(end) === ending) return true;
            return false;
          };
          const allowed = [0, 1, 2, 3, 4].filter((token) => text.length + 1 < size || !repeats(token));
          if (allowed.length === 0) {
            expect(() => sampler.next(scores)).toThrow('noRepeatNgramSize leaves no token that may come next; make it larger');
            return;
          }
          const token = sampler.next(scores);
          expect(token).toBe(allowed.reduce((best, each) => (scores[each]! > scores[best]! ? each : best)));
          text.push(token);
        }
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('continues from tokens that one of the same options chose', () => {
    const options = { temperature: 1, repetitionPenalty: 1.3, noRepeatNgramSize: 3, seed: 5 };
    const random = new SeededRandom(1);
    const steps = Array.from({ length: 40 }, () => Float32Array.from({ length: 12 }, () => random.normal()));
    const whole = new Sampler(options, [1, 2], []);
    const tokens = steps.map((scores) => whole.next(scores));
    const rest = new Sampler(options, [1, 2], tokens.slice(0, 15));
    expect(steps.slice(15).map((scores) => rest.next(scores))).toEqual(tokens.slice(15));
  });

  it('repeats with a seed, and draws otherwise with another', () => {
    const scores = new Float32Array(1000);
    const draw = (seed?: number) => {
      const sampler = new Sampler({ temperature: 1, seed }, [], []);
      return Array.from({ length: 8 }, () => sampler.next(scores));
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
    expect(draw()).toEqual(draw(0));
  });

  it('refuses logits that are not numbers', () => {
    for (const value of [NaN, Infinity]) {
      expect(() => new Sampler({ temperature: 1 }, [], []).next(logits(0, value, 1))).toThrow(BackendError);
    }
  });
});

describe('validateSampling', () => {
  it.each<[SamplingOptions, string]>([
    [{ temperature: -1 }, 'generate: expected temperature to be a number of 0 or more, got -1'],
    [{ temperature: NaN }, 'generate: expected temperature to be a number of 0 or more, got NaN'],
    [{ temperature: Infinity }, 'generate: expected temperature to be a number of 0 or more, got Infinity'],
    [{ temperature: 1, topK: 0 }, 'generate: expected topK to be a whole number from 1, got 0'],
    [{ temperature: 1, topK: 2.5 }, 'generate: expected topK to be a whole number from 1, got 2.5'],
    [{ temperature: 1, topP: 0 }, 'generate: expected topP to be a number above 0, at most 1, got 0'],
    [{ temperature: 1, topP: 1.01 }, 'generate: expected topP to be a number above 0, at most 1, got 1.01'],
    [{ repetitionPenalty: 0 }, 'generate: expected repetitionPenalty to be a number above 0, got 0'],
    [{ noRepeatNgramSize: 0 }, 'generate: expected noRepeatNgramSize to be a whole number from 1, got 0'],
    [{ seed: 0.5 }, 'generate: expected seed to be a whole number, got 0.5'],
    [{ topK: 5 }, 'generate: expected a temperature above 0 with topK, got 0, which always takes the likeliest token'],
    [{ topP: 0.5 }, 'generate: expected a temperature above 0 with topP, got 0, which always takes the likeliest token'],
  ])('refuses %j', (options, message) => {
    expect(() => validateSampling(options)).toThrow(ArgumentError);
    expect(() => validateSampling(options)).toThrow(message);
  });

  it('lets the rest pass', () => {
    validateSampling({});
    validateSampling({ temperature: 0.7, topK: 1, topP: 1, repetitionPenalty: 0.5, noRepeatNgramSize: 1, seed: -3 });
  });
});

/** Sorts, cuts and draws; tokens are tried in the order of the implementation, which any draw may choose freely. */
function plainDraw(scores: Float32Array, { temperature, topK, topP }: SamplingOptions, uniform: number): number {
  const ids = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const least = scores[ids[Math.min(topK ?? Infinity, ids.length) - 1]!]!;
  let kept = ids.filter((id) => scores[id]! >= least);
  const weight = (id: number) => Math.exp((scores[id]! - scores[ids[0]!]!) / temperature!);
  const mass = (of: number[]) => of.reduce((sum, id) => sum + weight(id), 0);
  if (topP !== undefined && topP < 1) {
    const total = mass([...kept].sort((a, b) => a - b));
    kept = kept.filter((_, rank) => mass(kept.slice(0, rank)) < topP * total).reverse();
  } else {
    kept.sort((a, b) => a - b);
  }
  let rest = uniform * mass(kept);
  return kept.find((id) => (rest -= weight(id)) < 0)!;
}
