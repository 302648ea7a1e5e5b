import { laptop } from '../laptop';
import type { Method, Preset, Presets, Tasks } from '../preset';
import { gqa, mha, mixsga } from './methods';
import { forModels, type PaperModel, paperModels } from './models';

/** What is measured of models as they are converted, with no training. */
const untrained = { sequenceLength: 256, batchSize: 1, tokens: 0, optimizer: { learningRate: 1e-5 }, evaluateEvery: 0, finalEvaluationWindows: 8 };

const methods = [mha, gqa(2), mixsga('3:1:6')];

/** Each model with each method, one after the other, so that none slows another. */
function measured(models: readonly string[], measuredMethods: readonly Method[], tasks: Tasks, metric: string, about: string): Preset {
  const method = Object.fromEntries(measuredMethods.map(({ name, attention }) => [name, { 'model.attention': attention }]));
  return {
    about,
    config: { kind: 'sweep', base: { ...untrained, tasks }, grid: { 'model.from': models, method }, metric, concurrency: 1 },
  };
}

/** KV bytes and parameters; `mixsga inspect` tells them without a download. */
const sizes = (models: readonly string[], about: string) =>
  measured(models, methods, [{ task: 'kv_accounting', maxWindows: 8 }], 'kv_accounting.kv_bytes_per_token', about);

const speed = (model: string, options: Partial<Tasks[number]>, about: string) =>
  measured([model], methods, [{ task: 'throughput', ...options }], 'throughput.decode_tokens_per_second', about);

/** Changes of perplexity, token by token, in windows of 128 (choice: the paper does not give a length). */
function importance(from: string, maxWindows: number, about: string): Preset {
  return { about, config: { kind: 'run', model: { from }, ...untrained, tasks: [{ task: 'token_importance', windowLength: 128, maxWindows }] } };
}

const sized: PaperModel[] = ['opt-125m', 'llama-3.2-1b', 'gemma-2-2b'];

export const converted: Presets = {
  'paper/kv-sizes': sizes(sized.map((key) => paperModels[key].id), 'Table 9: KV bytes a token of OPT-125m, Llama3.2-1B and Gemma2-2B'),
  'laptop/kv-sizes': sizes([laptop.from], 'Table 9 on the shipped model, and what the routers really use'),

  // From the paper: one sequence of 10,000 tokens. Choices: these models, whose context holds them, and that the last 128 are timed.
  ...forModels('throughput', ['llama-3.2-1b', 'llama-3.2-3b', 'llama-3.1-8b'], ({ name, id }) =>
    speed(id, { windowLength: 10_000 - 129 }, `Table 10: decode speed of ${name} at 10,000 tokens`)),
  'laptop/throughput': speed(laptop.from, { windowLength: 127, maxWindows: 15 }, 'Table 10 on the shipped model, at 256 tokens'),

  // Choice: which model Figure 1 is of.
  ...forModels('token-importance', ['opt-125m', 'llama-3.2-1b', 'gemma-2-2b'], ({ name, id }) => importance(id, 1, `Figure 1: what each token's own heads matter to ${name}`)),
  'laptop/token-importance': importance(laptop.from, 3, 'Figure 1 on the shipped model'),
};
