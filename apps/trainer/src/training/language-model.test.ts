import { startBackend } from '@mixsga/backend';
import { describeLanguageModel } from '@mixsga/evaluators/testing';
import { OptModel, parseOptConfig } from '@mixsga/models';

import { languageModel } from './model';

const VOCABULARY = 48;

for (const attention of ['mha', 'gqa:2', 'cla:2', 'mixsga:3:1:6']) {
  describeLanguageModel(`OPT with ${attention}`, async () => {
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
        ...(attention === 'mha' ? {} : { mixsga: { attention } }),
      },
      'test',
    );
    const model = OptModel.create(config, 7);
    return { model: languageModel(model), vocabularySize: VOCABULARY, dispose: () => model.dispose() };
  });
}
