import { ArgumentError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { evaluatorNamed, evaluators } from './catalog';
import { BigramModel, describeLanguageModel } from './testing';

const LOGITS = Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => Math.sin(3 * i + 5 * j)));
const model = (groupSizes?: number[], ratios?: number[]) =>
  new BigramModel({ logits: LOGITS, contextLength: 8, groupSizes, ratios, layers: 2 });

beforeAll(async () => {
  await startBackend('cpu');
});

describeLanguageModel('a bigram table', async () => {
  await startBackend('cpu');
  const subject = model();
  return { model: subject, vocabularySize: 9, dispose: () => subject.dispose() };
});

describeLanguageModel('a bigram table with experts', async () => {
  await startBackend('cpu');
  const subject = model([1, 2], [0.5, 0.5]);
  return { model: subject, vocabularySize: 9, dispose: () => subject.dispose() };
});

describe.each(Object.entries(evaluators))('evaluator %s', (name, evaluator) => {
  const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * i) % 9);

  it('goes by its name in the catalog', () => {
    expect(evaluator.name).toBe(name);
    expect(evaluatorNamed(name)).toBe(evaluator);
    expect(evaluator.description).toMatch(/^[^\n]{10,}$/);
  });

  it.each(['decode', 'prefill'] as const)('repeats, as plain JSON, without leaks (%s)', async (routing) => {
    for (const subject of [model(), model([1, 2], [0.5, 0.5])]) {
      const before = tf.memory().numTensors;
      const result = await evaluator.evaluate(subject, tokens, { routing });
      expect(JSON.parse(JSON.stringify(result))).toEqual(result);
      expect(await evaluator.evaluate(subject, tokens, { routing })).toEqual(result);
      expect(tf.memory().numTensors).toBe(before);
      subject.dispose();
    }
  });
});

describe('evaluatorNamed', () => {
  it.each(['hellaswag', 'toString', ''])('refuses %j and lists what there is', (name) => {
    expect(() => evaluatorNamed(name)).toThrow(ArgumentError);
    expect(() => evaluatorNamed(name)).toThrow(`expected one of perplexity, kv, routing, got '${name}'`);
  });
});
