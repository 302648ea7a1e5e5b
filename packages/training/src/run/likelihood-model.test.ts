import { startBackend } from '@mixsga/backend';
import { describeLikelihoodModel } from '@mixsga/evaluators/testing';
import { createTrainable, parseModelConfig, randomParameters } from '@mixsga/models';

import { likelihoodModel } from './likelihood-model';

const VOCABULARY = 48;
const LENGTH = 16;

const variants: { attention: string; router?: string }[] = [
  { attention: 'mha' },
  { attention: 'gqa:2' },
  { attention: 'cla:2' },
  { attention: 'mixsga:3:1:6' },
  { attention: 'mixsga:3:1:6', router: 'random' },
  { attention: 'mixsga:3:1:6/1:1:0' },
];

async function create(mixsga: { attention: string; router?: string }) {
  await startBackend('wasm');
  const config = parseModelConfig(
    {
      model_type: 'opt',
      vocab_size: VOCABULARY,
      hidden_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 8,
      ffn_dim: 64,
      max_position_embeddings: LENGTH,
      init_std: 0.3,
      ...(mixsga.attention === 'mha' ? {} : { mixsga }),
    },
    'test',
  );
  const model = await createTrainable(config, randomParameters(config, 7));
  return { model: likelihoodModel(model), vocabularySize: VOCABULARY, dispose: () => model.dispose() };
}

for (const mixsga of variants) describeLikelihoodModel(`OPT with ${Object.values(mixsga).join(', ')}`, () => create(mixsga));
