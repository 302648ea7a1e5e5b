import type { MethodResult } from '@mixsga/training';
import { describe, expect, it } from 'vitest';

import { fullReport, mixed, reportOf, result } from './fixtures';
import { frontierLines } from './ranking';
import { summarise } from './summary';
import { judge, judgeAblations } from './verdict';

const verdictOf = (...methods: MethodResult[]) => judge(summarise(reportOf(methods)));

describe('judge', () => {
  it('says that GQA won, and by how much', () => {
    const { outcome, sentence, remarks } = verdictOf(result({ decode: 40 }), mixed({ decode: 50, prefill: 30 }));
    expect(outcome).toBe('GQA');
    expect(sentence).toBe(
      '**GQA keeps more than mixSGA.** At 50 % of the KV cache, under decode routing, GQA 2 has a perplexity of 40.00 and mixSGA 3:1:6 one of 50.00: 20.0 % lower.',
    );
    expect(remarks).toEqual(['Each method ran with one seed, so how much of the difference is chance was not measured.']);
  });

  it('says that mixSGA won, and by how much', () => {
    const { outcome, sentence } = verdictOf(result({ decode: 50 }), mixed({ decode: 40, prefill: 60 }));
    expect(outcome).toBe('mixSGA');
    expect(sentence).toContain('**mixSGA keeps more than GQA.**');
    expect(sentence).toContain('mixSGA 3:1:6 has a perplexity of 40.00 and GQA 2 one of 50.00: 20.0 % lower.');
  });

  it("calls it a tie where the seeds' ranges overlap, and a win where they do not", () => {
    const gqa = [result({ decode: 40, seed: 1 }), result({ decode: 42, seed: 2 })];
    const near = verdictOf(...gqa, mixed({ decode: 41.9, seed: 1 }), mixed({ decode: 43, seed: 2 }));
    expect(near.outcome).toBe('tie');
    expect(near.sentence).toContain('**Neither keeps clearly more.**');
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
    expect(sentence).toContain('and mixSGA 1:1:2 one of 42.00');
    expect(remarks).toContain('mixSGA 1:1:2 stands for mixSGA because its perplexity is lower than that of mixSGA 3:1:6 (43.00).');
  });

  it('tells when another method of that budget is better than both', () => {
    const { remarks } = verdictOf(result({ decode: 40 }), mixed({ decode: 50 }), result({ name: 'CLA 2', attention: 'cla:2', decode: 39 }));
    expect(remarks).toContain('Lower than both at that budget: CLA 2 (39.00).');
  });

  it('counts the change of this project to mixSGA as mixSGA', () => {
    const root = mixed({ name: 'mixSGA 3:1:6, over the root', attention: 'mixsga-root:3:1:6', decode: 39 });
    const { outcome, sentence, remarks } = verdictOf(result({ decode: 40 }), mixed({ decode: 43 }), root);
    expect(outcome).toBe('mixSGA');
    expect(sentence).toContain('mixSGA 3:1:6, over the root has a perplexity of 39.00 and GQA 2 one of 40.00');
    expect(remarks.join(' ')).not.toContain('Lower than both');
  });

  it('compares at the highest budget that both have, whatever GQA does at others', () => {
    const { sentence } = verdictOf(
      result({ decode: 36, kvBudget: 0.5 }),
      result({ name: 'GQA 4', attention: 'gqa:4', kvBudget: 0.25, decode: 45 }),
      mixed({ name: 'mixSGA 0:0:1', attention: 'mixsga:0:0:1', kvBudget: 0.25, decode: 47 }),
    );
    expect(sentence).toContain('At 25 % of the KV cache, under decode routing, GQA 4 has a perplexity of 45.00 and mixSGA 0:0:1 one of 47.00');
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

describe('frontierLines', () => {
  it('names one best method of a budget at most, and that which the verdict puts lowest', () => {
    const methods = [
      result({ decode: 40, seed: 1 }), result({ decode: 42, seed: 2 }),
      mixed({ decode: 41.9, seed: 1 }), mixed({ decode: 43, seed: 2 }),
      result({ name: 'CLA 2', attention: 'cla:2', decode: 44, seed: 1 }), result({ name: 'CLA 2', attention: 'cla:2', decode: 45, seed: 2 }),
      mixed({ name: 'random', router: 'random', decode: 30 }),
    ];
    expect(frontierLines(summarise(reportOf(methods)))).toEqual([
      "**50 % of the KV cache**: no clear best, since the seeds' ranges overlap: GQA 2 41.00 (40.00 to 42.00), mixSGA 3:1:6 42.45 (41.90 to 43.00); above them: CLA 2 44.50 (44.00 to 45.00).",
    ]);
    const latent = result({ name: 'latent', series: 'latent', attention: 'latent:1@2', decode: 35 });
    const all = [...methods.filter(({ seed }) => seed === 1), latent];
    expect(frontierLines(summarise(reportOf(all)))).toEqual(['**50 % of the KV cache**: latent, 35.00; with one seed: GQA 2 40.00, mixSGA 3:1:6 41.90, CLA 2 44.00.']);
    expect(verdictOf(...all).remarks.join(' ')).toContain('Lower than both at that budget: latent (35.00).');
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
