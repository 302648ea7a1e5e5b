import { laptop, withTunedRates } from '../laptop';
import type { Method, Preset, Presets, Tasks } from '../preset';
import { budgetRatios, cla, gqa, mha, mixsga } from './methods';
import { forModels, type PaperModel, paperModels } from './models';

/**
 * Continued pretraining (the paper's Table 2): one epoch of MiniPile (1.6 billion tokens) in windows of 2,048, 256 K tokens a batch,
 * cosine from 2e-4, warm-up over 1.5 %, AdamW with β 0.9 and 0.95, decay 0.1, gradients clipped at 1. Choices: one seed, and how
 * many windows go through the model at a time.
 */
function continued(key: PaperModel, methods: readonly Method[], tasks: Tasks, about: string): Preset {
  return {
    about,
    config: {
      kind: 'comparison',
      from: paperModels[key].id,
      methods: [...methods],
      seeds: [1],
      data: { corpus: 'JeanKaddour/minipile' },
      sequenceLength: 2048,
      batchSize: 4,
      accumulate: 32,
      tokens: 1_600_000_000,
      optimizer: { learningRate: 2e-4, warmupRatio: 0.015, beta1: 0.9, beta2: 0.95, weightDecay: 0.1, clip: 1 },
      evaluateEvery: 500,
      finalEvaluationWindows: 512,
      backend: 'auto',
      concurrency: 1,
      tasks,
    },
  };
}

/** The same on the embedded corpus, with the shipped model. */
function continuedHere(methods: readonly Method[], tasks: Tasks, about: string, rest: { tokens?: number } = {}): Preset {
  return { about, config: { kind: 'comparison', ...laptop, ...rest, methods: withTunedRates(methods), tasks } };
}

/** The zero-shot tasks of Table 2 and WikiText-2, each as lm-evaluation-harness has it. */
const zeroShot: Tasks = ['hellaswag', 'piqa', 'winogrande', 'arc_easy', 'arc_challenge', 'wikitext'].map((task) => ({ task }));
const zeroShotHere: Tasks = [{ task: 'hellaswag', data: 'sotu', limit: 300 }, { task: 'wikitext', data: 'sotu', split: 'test', limit: 3 }];

/** Perplexity under H2O at the keep ratios of Table 3. */
function evicted(options: Partial<Tasks[number]>): Tasks {
  return [0.8, 0.6, 0.4, 0.2].map((keep) => ({ task: 'perplexity', name: `h2o ${100 * keep} %`, eviction: `h2o:${keep}`, ...options }));
}

const baselines = [gqa(2), cla(2), mixsga('3:1:6')];
const pair = [gqa(2), mixsga('3:1:6')];
const budgets = [mha, gqa(2), gqa(4), ...Object.keys(budgetRatios).map(mixsga)];

export const continuedPretraining: Presets = {
  ...forModels('continue', ['tinyllama'], ({ name }, key) => continued(key, baselines, zeroShot, `Table 2: ${name} continued on MiniPile, zero-shot tasks and WikiText-2`)),
  'laptop/continue': continuedHere(baselines, zeroShotHere, 'Table 2 on the shipped model: more of the embedded corpus'),

  // Choice: how the models of Table 3 were trained is not said; here as those of Table 2.
  ...forModels('h2o', ['gemma-2-2b', 'tinyllama'], ({ name }, key) =>
    continued(key, pair, evicted({ data: 'Salesforce/wikitext', files: 'wikitext-2-raw-v1', split: 'test' }), `Table 3: H2O eviction on ${name}, WikiText-2`)),
  'laptop/h2o': continuedHere(pair, evicted({ maxWindows: 32 }), 'Table 3 on the shipped model: perplexity under H2O eviction'),

  ...forModels('budgets', ['tinyllama'], ({ name }, key) => continued(key, budgets, [{ task: 'wikitext' }], `Figure 3: ${name} at KV budgets of 25, 35, 50, 75 %`)),
  'laptop/budgets': continuedHere(budgets, [], 'Figure 3 on the shipped model', { tokens: 102_400 }),
};
