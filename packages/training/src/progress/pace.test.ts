import { describe, expect, it } from 'vitest';

import { paceText } from './pace';

describe('paceText', () => {
  it('gives the rate of this run and the time that is left', () => {
    let now = 0;
    const pace = paceText(() => now);
    expect(pace({ done: 100, of: 1000 })).toBe('100 of 1000 (10 %)');
    now = 5000;
    expect(pace({ done: 200, of: 1000 })).toBe('200 of 1000 (20 %), 20/s, 40 s left');
    now = 200_000;
    expect(pace({ done: 300, of: 1000 })).toBe('300 of 1000 (30 %), 1.0/s, 11 min 40 s left');
  });

  it('counts whole items, and time by parts of them', () => {
    let now = 0;
    const pace = paceText(() => now);
    expect(pace({ done: 0, of: 1 })).toBe('0 of 1 (0 %)');
    now = 30_000;
    expect(pace({ done: 0.25, of: 1 })).toBe('0 of 1 (25 %), 0.5/min, 1 min 30 s left');
  });

  it('counts slow items by the minute', () => {
    let now = 0;
    const pace = paceText(() => now);
    pace({ done: 0, of: 10 });
    now = 30_000;
    expect(pace({ done: 1, of: 10 })).toBe('1 of 10 (10 %), 2.0/min, 4 min 30 s left');
  });
});
