import { describe, expect, it } from 'vitest';

import { learningRateAt } from './schedule';

describe('learningRateAt', () => {
  const options = { learningRate: 0.01, minLearningRateRatio: 0.1, warmupSteps: 10, totalSteps: 110 };

  it('rises linearly over the warm-up and never starts at zero', () => {
    expect(learningRateAt(1, options)).toBeCloseTo(0.001, 12);
    expect(learningRateAt(5, options)).toBeCloseTo(0.005, 12);
    expect(learningRateAt(10, options)).toBe(0.01);
  });

  it('falls along half a cosine to the minimum at the last step', () => {
    expect(learningRateAt(60, options)).toBeCloseTo((0.01 + 0.001) / 2, 12);
    expect(learningRateAt(110, options)).toBeCloseTo(0.001, 12);
    const rates = Array.from({ length: 100 }, (_, i) => learningRateAt(11 + i, options));
    expect(rates.every((rate, i) => i === 0 || rate < rates[i - 1]!)).toBe(true);
  });

  it('works when the warm-up is the whole run', () => {
    expect(learningRateAt(3, { ...options, warmupSteps: 3, totalSteps: 3 })).toBe(0.01);
  });
});
