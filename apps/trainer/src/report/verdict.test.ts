import { describe, expect, it } from 'vitest';

import { fullReport, mixed, reportOf, result } from './fixtures';
import type { MethodResult } from './schema';
import { summarise } from './summary';
import { judge, judgeAblations } from './verdict';

const verdictOf = (...methods: MethodResult[]) => judge(summarise(reportOf(methods)));

describe('judge', () => {
  it('says that GQA won, and by how much', () => {
    const { outcome, sentence, remarks } = verdictOf(result({ decode: 40 }), mixed({ decode: 50, prefill: 30 }));
    expect(outcome).toBe('GQA');
    expect(sentence).toBe(
      '**GQA 2 won.** At 50 % of the KV cache, under decode routing, its perplexity is 40.00, against 50.00 for mixSGA 3:1:6: 20.0 % lower.',
    );
    expect(remarks).toEqual(['Each method ran with one seed, so how much of the difference is chance was not measured.']);
  });

  it('says that mixSGA won, and by how much', () => {
    const { outcome, sentence } = verdictOf(result({ decode: 50 }), mixed({ decode: 40, prefill: 60 }));
    expect(outcome).toBe('mixSGA');
    expect(sentence).toContain('**mixSGA 3:1:6 won.**');
    expect(sentence).toContain('its perplexity is 40.00, against 50.00 for GQA 2: 20.0 % lower.');
  });

  it("calls it a tie where the seeds' ranges overlap, and a win where they do not", () => {
    const gqa = [result({ decode: 40, seed: 1 }), result({ decode: 42, seed: 2 })];
    const near = verdictOf(...gqa, mixed({ decode: 41.9, seed: 1 }), mixed({ decode: 43, seed: 2 }));
    expect(near.outcome).toBe('tie');
    expect(near.sentence).toContain('**Neither won.**');
    expect(near.sentence).toContain('GQA 2 has a perplexity of 41.00 (40.00 to 42.00) and mixSGA 3:1:6 one of 42.45 (41.90 to 43.00)');
    expect(near.remarks).toEqual([]);
    const far = verdictOf(...gqa, mixed({ decode: 42.1, seed: 1 }), mixed({ decode: 43, seed: 2 }));
    expect(far.outcome).toBe('GQA');
  });

  it('calls equal numbers of one seed a tie', () => {
    const { outcome, sentence } = verdictOf(result({ decode: 40 }), mixed({ decode: 40 }));
    expect(outcome).toBe('tie');
    expect(sentence).toContain('there is no difference');
  });

  it('takes the best whole mixSGA at the budget of GQA, and never an ablation', () => {
    const { sentence, remarks } = verdictOf(
      result({ decode: 40 }),
      mixed({ decode: 43 }),
      mixed({ name: 'mixSGA 1:1:2', attention: 'mixsga:1:1:2', decode: 42 }),
      mixed({ name: 'random', router: 'random', decode: 30 }),
      mixed({ name: 'no loss', alpha: 0, decode: 31 }),
      mixed({ name: 'mixSGA 1:1:0', attention: 'mixsga:1:1:0', kvBudget: 0.75, decode: 20 }),
    );
    expect(sentence).toContain('against 42.00 for mixSGA 1:1:2');
    expect(remarks).toContain('mixSGA 1:1:2 is the best mixSGA setting of this report; the others are mixSGA 3:1:6 (43.00).');
  });

  it('tells when another method of that budget is better than both', () => {
    const { remarks } = verdictOf(result({ decode: 40 }), mixed({ decode: 50 }), result({ name: 'CLA 2', attention: 'cla:2', decode: 39 }));
    expect(remarks).toContain("The lowest perplexity at that budget is neither's: CLA 2 has 39.00.");
  });

  it('tells when decode routing used more cache than was asked for', () => {
    const { remarks } = verdictOf(result({ decode: 50 }), mixed({ decode: 40, realisedKvBudget: { decode: 0.61, prefill: 0.5 } }));
    expect(remarks.join(' ')).toContain('really used 61.0 % of the KV cache, more than it was given');
  });

  it('leaves the question open without both rivals at one budget', () => {
    expect(verdictOf(result({ decode: 40 })).outcome).toBe('not compared');
    expect(verdictOf(mixed({ decode: 40 })).outcome).toBe('not compared');
    expect(verdictOf(result({ decode: 40 }), mixed({ decode: 30, kvBudget: 0.75 })).outcome).toBe('not compared');
  });
});

describe('judgeAblations', () => {
  it('compares each with the whole method of its attention', () => {
    const lines = judgeAblations(summarise(fullReport([1])));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^With a random router, mixSGA 3:1:6 gets 5\.2 % worse .* from 40\.90 to 43\.02, .* 46 % .*\(90 %\)\.$/);
    expect(lines[1]).toMatch(/^Without the consistency loss, mixSGA 3:1:6 gets 9\.0 % worse .* from 40\.90 to 44\.60/);
  });

  it('does not turn overlapping seeds into a finding, nor hide an ablation that helps', () => {
    const lines = judgeAblations(
      summarise(
        reportOf([
          mixed({ decode: 40, seed: 1 }),
          mixed({ decode: 42, seed: 2 }),
          mixed({ name: 'random', router: 'random', decode: 41, seed: 1 }),
          mixed({ name: 'no loss', alpha: 0, decode: 36.9, seed: 1 }),
        ]),
      ),
    );
    expect(lines[0]).toContain('does not clearly change');
    expect(lines[1]).toContain('gets 10.0 % better');
  });
});
