import { startBackend } from '@mixsga/backend';
import { beforeAll, expect, it } from 'vitest';

import { runConfig } from '../config/run-config';
import { openModel } from './model';

beforeAll(async () => void (await startBackend('wasm')));

const open = (model: object) =>
  openModel(
    runConfig.parse({ model: { from: 'sotu-mini', ...model }, sequenceLength: 16, batchSize: 2, tokens: 0, optimizer: { learningRate: 1e-3 } }),
    () => Promise.resolve([]), '', { message: () => undefined },
  );

it('a run aligns heads of the model that it converts', async () => {
  const [plain, aligned] = [(await open({ attention: 'gqa:2' })).model, (await open({ attention: 'gqa:2', align: true })).model];
  expect([plain.config.mixsga, aligned.config.mixsga]).toEqual([{ attention: 'gqa:2' }, { attention: 'gqa:2', align: true }]);
  const squares = (model: typeof plain) => model.parameters().get('model.decoder.layers.0.self_attn.v_proj.weight')!.dataSync<'float32'>().reduce((sum, value) => sum + value ** 2, 0);
  // The mean of heads that agree is longer.
  expect(squares(aligned)).toBeGreaterThan(1.2 * squares(plain));
  for (const model of [plain, aligned]) model.dispose();
  await expect(open({ align: true })).rejects.toThrow('align is for a variant that groups KV heads, such as gqa:2, got mha');
});
