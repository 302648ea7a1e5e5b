import { ArgumentError } from '@mixsga/backend';
import { describe, expect, it } from 'vitest';

import { evaluatorNamed, evaluators } from './catalog';
import { BigramModel, describeEvaluator, describeLanguageModel } from './testing';

const LOGITS = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(3 * i + 5 * j)));
const plain = () => new BigramModel({ logits: LOGITS, contextLength: 8 });
const routed = () => new BigramModel({ logits: LOGITS, contextLength: 8, groupSizes: [1, 2], ratios: [0.5, 0.5], layers: 2 });
const subject = (model: BigramModel) => Promise.resolve({ model, vocabularySize: 9, dispose: () => undefined });

describeLanguageModel('a bigram table', () => subject(plain()));
describeLanguageModel('a bigram table with experts', () => subject(routed()));

const data = { name: 'squares', tokens: Int32Array.from({ length: 40 }, (_, i) => (i * i) % 9) };

for (const evaluator of Object.values(evaluators)) {
  for (const model of [plain(), routed()]) describeEvaluator(evaluator, () => ({ model, data }));
}

describe('evaluatorNamed', () => {
  it.each(Object.entries(evaluators))('finds %s', (name, evaluator) => {
    expect(evaluator.name).toBe(name);
    expect(evaluatorNamed(name)).toBe(evaluator);
  });

  it.each(['belebele', 'toString', ''])('refuses %j and lists what there is', (name) => {
    expect(() => evaluatorNamed(name)).toThrow(ArgumentError);
    expect(() => evaluatorNamed(name)).toThrow(`expected one of ${Object.keys(evaluators).join(', ')}, got '${name}'`);
  });
});
