import { laptop, withTunedRates } from '../laptop';
import type { Method, Preset, Presets, Tasks } from '../preset';
import { ablations, gqa, halfRatios, mixsga } from './methods';
import { forModels, type PaperModel, paperModels } from './models';

/** Rows of a step; 14,000 rows make 438 steps an epoch. */
const STEP = 32;
const STEPS_OF_EPOCH = 438;

/**
 * Supervised fine-tuning on Dolly (the paper's Section 4.2 and Table 1). From the paper: 14,000 rows to train on, 500 to validate and
 * 500 to test, MiniLLM's template, prompts of at most 256 of 512 tokens, for OPT full fine-tuning in float32 with batches of 32, 40
 * epochs and a cosine schedule from 5e-5, ROUGE-L over five seeds. Choices, where it is silent: which rows are tested on; for Llama and
 * Gemma MiniLLM's 10 epochs at 1e-5; no warm-up, weight decay 0.01 (MiniLLM's); a validation after each epoch; one training seed; how
 * many rows go through the model at a time.
 */
function onDolly(key: PaperModel) {
  const isOpt = key.startsWith('opt');
  const batchSize = isOpt ? 8 : 4;
  return {
    data: { instructions: 'databricks/databricks-dolly-15k', split: { validation: 500, test: 500 } },
    sequenceLength: 512,
    batchSize,
    accumulate: STEP / batchSize,
    epochs: isOpt ? 40 : 10,
    optimizer: { learningRate: isOpt ? 5e-5 : 1e-5, warmupRatio: 0, weightDecay: 0.01 },
    evaluateEvery: STEPS_OF_EPOCH,
    backend: 'auto' as const,
  };
}

/** The same on instructions of the embedded corpus. */
function onSotu() {
  const { from: _, seeds: __, tokens: ___, ...rest } = laptop;
  return { ...rest, data: { instructions: 'sotu' }, batchSize: 8, epochs: 1 };
}

/** The run's own test rows and four other instruction sets, each sampled with the paper's seeds 10 to 50. */
const instructionSets: Tasks = [
  { task: 'dolly', data: 'run', split: 'test' },
  ...['self_instruct', 'vicuna', 's_ni', 'un_ni'].map((task) => ({ task })),
];
const instructionsHere: Tasks = [{ task: 'dolly', data: 'sotu', split: 'test', generation: { seeds: [10, 20, 30], maxNewTokens: 48 } }];
const routing: Tasks = [{ task: 'routing', data: 'sotu', maxWindows: 64 }];

function compared(key: PaperModel, methods: readonly Method[], tasks: Tasks, about: string): Preset {
  return { about, config: { kind: 'comparison', from: paperModels[key].id, methods: [...methods], seeds: [1], ...onDolly(key), concurrency: 1, tasks } };
}

function comparedHere(methods: readonly Method[], tasks: Tasks, about: string): Preset {
  return { about, config: { kind: 'comparison', from: laptop.from, methods: withTunedRates(methods), seeds: laptop.seeds, ...onSotu(), tasks } };
}

/** Every ratio setting of half the cache; the best is chosen by ROUGE-L on Dolly. */
function ratios(from: string, base: object, seeds: number[], rest: object, about: string): Preset {
  return {
    about,
    config: { kind: 'sweep', base: { model: { from }, ...base }, grid: { 'model.attention': halfRatios.map((spec) => mixsga(spec).attention), seed: seeds }, metric: 'dolly.rouge_l', ...rest },
  };
}

const half = [gqa(2), mixsga('1:1:2'), mixsga('3:1:6')];
const tableOne: PaperModel[] = ['opt-125m', 'opt-355m', 'llama-3.2-1b', 'llama-3.2-3b', 'llama-3.1-8b', 'gemma-2-2b'];

export const supervised: Presets = {
  ...forModels('sft', tableOne, ({ name }, key) => compared(key, half, instructionSets, `Table 1: ${name} fine-tuned on Dolly, ROUGE-L on five sets`)),
  'laptop/sft': comparedHere(half, instructionsHere, 'Table 1 on the shipped model: instructions of the embedded corpus, ROUGE-L'),

  // Choice: which models Tables 4, 5 and 11 are of.
  ...forModels('ratios', ['opt-125m', 'llama-3.2-1b', 'gemma-2-2b'], ({ name, id }, key) =>
    ratios(id, { ...onDolly(key), tasks: instructionSets }, [1], { concurrency: 1 }, `Tables 4, 5, 11: capacity ratios at half the cache, ${name} fine-tuned on Dolly`)),
  'laptop/ratios': ratios(laptop.from, { ...onSotu(), epochs: 0.5, tasks: instructionsHere }, laptop.seeds, {}, 'Tables 4, 5, 11 on the shipped model'),

  ...forModels('router-ablation', ['gemma-2-2b'], ({ name }, key) =>
    compared(key, ablations, [...instructionSets, ...routing], `Table 6: ${name} without the consistency loss, and with a random router`)),
  'laptop/router-ablation': comparedHere(ablations, [...instructionsHere, ...routing], 'Table 6 on the shipped model'),
};
