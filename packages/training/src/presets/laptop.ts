import { methods as tuned } from './methods';
import type { Method } from './preset';

/**
 * What the laptop twins of the paper's experiments have in common: the shipped model and the embedded corpus, in minutes on two
 * cores. Three seeds, fewer tokens than docs/results.md, whose long runs answer the same questions better.
 */
export const laptop = {
  from: 'sotu-mini',
  seeds: [1, 2, 3],
  sequenceLength: 256,
  batchSize: 4,
  tokens: 153_600,
  optimizer: { learningRate: 1e-3 },
  evaluateEvery: 0,
  finalEvaluationWindows: 128,
};

/** Methods with the learning rates that did best on the shipped model (docs/results.md), by the kind of their attention. */
export function withTunedRates(methods: readonly Method[]): Method[] {
  const kindOf = ({ attention }: Method) => attention.split(':', 1)[0];
  return methods.map((method) => {
    const learningRate = tuned.find((candidate) => kindOf(candidate) === kindOf(method))?.learningRate;
    return { ...method, ...(learningRate === undefined ? {} : { learningRate }) };
  });
}
