import { startBackend } from '@mixsga/backend';
import { describeLanguageModel } from '@mixsga/evaluators/testing';
import { OptModel, parseOptConfig } from '@mixsga/models';

import { languageModel } from './model';

const VOCABULARY = 48;

const variants: { attention: string; router?: string }[] = [
  { attention: 'mha' },
  { attention: 'gqa:2' },
  { attention: 'cla:2' },
  { attention: 'mixsga:3:1:6' },
  { attention: 'mixsga:3:1:6', router: 'random' },
];

for (const mixsga of variants) {
  describeLanguageModel(`OPT with ${Object.values(mixsga).join(', ')}`, async () => {
    await startBackend('wasm');
    const config = parseOptConfig(
      {
        model_type: 'opt',
        vocab_size: VOCABULARY,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 8,
        ffn_dim: 64,
        max_position_embeddings: 16,
        init_std: 0.3,
        ...(mixsga.attention === 'mha' ? {} : { mixsga }),
      },
      'test',
    );
    const model = OptModel.create(config, 7);
    return { model: languageModel(model), vocabularySize: VOCABULARY, dispose: () => model.dispose() };
  });
}
