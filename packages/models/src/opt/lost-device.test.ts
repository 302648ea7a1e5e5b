import { DeviceLostError, describeBackends, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseAttention } from '../attention/index';
import { parseOptConfig } from '../config/opt';
import type { CachedDecoder } from '../decoder/cached-decoder';
import { createDecoder } from '../families';
import { generate } from '../generation/generate';
import { randomParameters } from './parameters';

const { available, reason } = (await describeBackends()).find(({ name }) => name === 'webgpu')!;
const device = () => (tf.backend() as unknown as { device: GPUDevice }).device;

function open(attention: string): Promise<CachedDecoder> {
  const config = parseOptConfig(
    {
      model_type: 'opt', vocab_size: 50, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 4, ffn_dim: 24,
      max_position_embeddings: 60, init_std: 0.3, mixsga: { attention },
    },
    'test',
  );
  return createDecoder(config, randomParameters(config, parseAttention(attention), 5));
}

describe.skipIf(!available)(`when the WebGPU device is lost${available ? '' : ` (${reason})`}`, () => {
  it.each(['gqa:2', 'mixsga:3:1:6'])('a generation of %s says so, or goes on to the same tokens on a new one', async (attention) => {
    const prompts = [[3, 1, 4, 1, 5, 9, 2, 6], [7, 7]];
    await startBackend('webgpu');
    const decoder = await open(attention);
    const whole = generate(decoder, prompts, { maxNewTokens: 10 });
    for await (const { token } of whole) expect(token).toBeLessThan(50);

    const decoders = [decoder];
    const destroyAtEvent = async (at: number, generation: ReturnType<typeof generate>) => {
      let events = 0;
      for await (const { sequence } of generation) if (++events === at && sequence < 2) device().destroy();
      return generation;
    };
    const recover = async (error: DeviceLostError) => {
      expect(error.message).toMatch(/^webgpu: the device was lost: /);
      await startBackend('webgpu');
      decoders.push(await open(attention));
      return decoders.at(-1)!;
    };
    const recovered = await destroyAtEvent(9, generate(decoder, prompts, { maxNewTokens: 10, recover }));
    expect(decoders.length).toBe(2);
    expect([0, 1].map((index) => recovered.tokens(index))).toEqual([0, 1].map((index) => whole.tokens(index)));

    const abandoned = destroyAtEvent(4, generate(decoders[1]!, prompts, { maxNewTokens: 10 }));
    await expect(abandoned).rejects.toThrow(DeviceLostError);
    for (const lost of decoders) lost.dispose();
  });
});
