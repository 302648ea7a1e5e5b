// What browser.test.ts bundles for a browser, and runs in Node too: training as a page does it, on tokens that it has in memory.
import { SeededRandom, startBackend } from '@mixsga/backend';
import { createTokenizer, createTrainable, parseModelConfig, randomParameters } from '@mixsga/models';

import { BatchSampler, likelihoodModel, splitDocuments, trainBpe, Trainer, trainLoop, validate } from '../index';

const STEPS = 3;
const SIZES = { hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 4, ffn_dim: 32, max_position_embeddings: 32, init_std: 0.1 };

/** Trains a tokenizer and a few steps of a tiny model. @param wasmPaths needed in browsers @returns the loss of each step, and what was measured last */
export async function trainTiny(wasmPaths?: string) {
  await startBackend('wasm', { wasmPaths });
  const random = new SeededRandom(1);
  const words = ['union', 'state', 'of', 'the', 'people', 'congress', 'and', 'we'];
  const { train, validation } = splitDocuments([Array.from({ length: 900 }, () => words[random.nextInt(words.length)]).join(' ')]);
  const tokenizer = createTokenizer(trainBpe(train, 270), 'tokenizer.json');
  const encode = (texts: readonly string[]) => Int32Array.from(tokenizer.encode(texts.join('\n\n')));

  const mixsga = { attention: 'mixsga:3:1:6', router: 'sigmoid', routerSeed: 1 };
  const config = parseModelConfig({ model_type: 'opt', vocab_size: tokenizer.vocabularySize, ...SIZES, mixsga }, 'config.json');
  const model = await createTrainable(config, randomParameters(config, 1));
  const trainer = new Trainer(model, {
    schedule: { learningRate: 0.01, minLearningRateRatio: 0, warmupSteps: 1, totalSteps: STEPS },
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    clip: 1,
    routerLoss: { alpha: 3 },
    sequenceLength: 32,
  });
  const losses: number[] = [];
  const sampler = new BatchSampler(encode(train), { batchSize: 4, sequenceLength: 32, seed: 1 });
  await trainLoop({ model, trainer, sampler, totalSteps: STEPS, record: ({ loss }) => losses.push(Number(loss)) });
  const { perplexity, agreement } = await validate(likelihoodModel(model), encode(validation), { windowLength: 32 });
  trainer.dispose();
  model.dispose();
  return { losses, perplexity, agreement };
}
