import type { MethodResult, Report, RoutedSentence, TrainingCurve } from '@mixsga/training';

/** A result for tests: GQA at half the cache unless told otherwise. */
export function result(fields: Partial<MethodResult> & { decode: number; prefill?: number }): MethodResult {
  const { decode, prefill = decode, ...rest } = fields;
  return {
    name: 'GQA 2',
    attention: 'gqa:2',
    seed: 1,
    kvBudget: 0.5,
    kvBytesPerToken: 3072,
    tokens: 300_000,
    perplexity: { decode, prefill },
    agreement: null,
    realisedRatios: null,
    realisedKvBudget: null,
    ...rest,
  };
}

/** A mixSGA result for tests. */
export function mixed(fields: Partial<MethodResult> & { decode: number; prefill?: number }): MethodResult {
  return result({
    name: 'mixSGA 3:1:6',
    attention: 'mixsga:3:1:6',
    kvBytesPerToken: 3073,
    agreement: 0.9,
    realisedRatios: { decode: [0.31, 0.09, 0.6], prefill: [0.3, 0.1, 0.6] },
    realisedKvBudget: { decode: 0.505, prefill: 0.5 },
    realisedKvBytesPerToken: { decode: 3103.72, prefill: 3073 },
    ...fields,
  });
}

export function reportOf(methods: MethodResult[]): Report {
  return {
    schema: 'mixsga/report@2',
    backend: 'wasm',
    corpus: 'State of the Union addresses',
    model: { parameters: 1_070_000, layers: 4, heads: 8, hidden: 128 },
    seconds: 512,
    methods,
  };
}

/** All methods of the comparison with the given seeds; numbers made up. */
export function fullReport(seeds: number[]): Report {
  return reportOf(
    seeds.flatMap((seed) => {
      const shift = (seed - 1) * 0.21;
      return [
        result({ name: 'MHA', attention: 'mha', kvBudget: 1, kvBytesPerToken: 6144, decode: 38.12 + shift, seed }),
        result({ decode: 39.4 + shift, seed }),
        result({ name: 'CLA 2', attention: 'cla:2', decode: 41.77 - shift, seed }),
        mixed({ decode: 40.9 + shift, prefill: 39.8 + shift, seed }),
        mixed({ name: 'mixSGA 1:1:2', attention: 'mixsga:1:1:2', decode: 41.3 + shift, prefill: 40.1, seed }),
        mixed({ name: 'mixSGA 3:1:6, random router', router: 'random', decode: 43.02 - shift, prefill: 42.9, agreement: 0.46, seed }),
        mixed({ name: 'mixSGA 3:1:6, no consistency loss', alpha: 0, decode: 44.6 + shift, prefill: 40.6, agreement: 0.33, seed }),
      ];
    }),
  );
}

/** Two lines of three and two budgets, with a ceiling; numbers made up. */
export function frontierReport(seeds: number[]): Report {
  const at = (budget: number) => ({ kvBudget: budget, kvBytesPerToken: 6144 * budget });
  return reportOf(
    seeds.flatMap((seed) => {
      const shift = (seed - 1) * 0.21;
      const routed = (name: string, budget: number, used: number, decode: number) =>
        mixed({ name, series: 'mixSGA', ...at(budget), realisedKvBytesPerToken: { decode: used, prefill: 6144 * budget }, decode: decode + shift, seed });
      return [
        result({ name: 'MHA', series: 'MHA', attention: 'mha', ...at(1), decode: 38.1 + shift, seed }),
        ...[[2, 39.4], [4, 44], [8, 52]].map(([size, decode]) => result({ name: `GQA ${size}`, series: 'GQA', attention: `gqa:${size}`, ...at(1 / size!), decode: decode! + shift, seed })),
        routed('mixSGA 3:1:6', 0.5, 3080, 41),
        routed('mixSGA 1:1:2@2,4,8', 0.25, 1590, 43),
      ];
    }),
  );
}

export function curvesOf(report: Report): TrainingCurve[] {
  return report.methods.map(({ name, seed, perplexity }) => ({
    name,
    seed,
    points: Array.from({ length: 11 }, (_, i) => ({
      tokens: i * 30_000,
      loss: Math.log(perplexity.decode) + 0.5 * Math.exp(-i / 2.5) + 0.01 * Math.sin(i * seed),
    })),
  }));
}

export const sentence: RoutedSentence = {
  method: 'mixSGA 3:1:6',
  routing: 'decode',
  tokens: 'The state of our Union is <strong> & growing stronger every day , and the Congress will , I trust , meet the needs of the people with "courage"\n'
    .split(/(?= )|(?=\n)/),
  experts: [0, 1, 2, 3].map((layer) => Array.from({ length: 31 }, (_, t) => [2, 0, 2, 2, 1, 0, 2, 2, 0, 2][(t * 7 + layer * 3) % 10]!)),
  groupSizes: [1, 2, 4],
};
