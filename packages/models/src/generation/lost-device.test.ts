import { describeBackends, DeviceLostError, startBackend } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseOptConfig } from '../families/opt/config';
import type { CachedDecoder } from '../decoder/cached-decoder';
import { createDecoder } from '../decoder/create-decoder';
import { randomParameters } from '../training/random-parameters';
import { generate, type GenerateOptions, type Generation } from './generate';

const { available, reason } = (await describeBackends()).find(({ name }) => name === 'webgpu')!;
const PROMPTS = [[3, 14, 15, 9, 26, 5, 35], [8], [9, 7, 9]];

describe.runIf(available)(`a WebGPU device that is lost in the middle of a generation${reason ? ` (${reason})` : ''}`, () => {
  const attention = 'mixsga:3:1:6';
  const open = async (): Promise<CachedDecoder> => {
    await startBackend('webgpu');
    const config = parseOptConfig(
      {
        model_type: 'opt', vocab_size: 50, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 8, ffn_dim: 48,
        max_position_embeddings: 40, init_std: 0.3, mixsga: { attention },
      },
      'test',
    );
    return createDecoder(config, randomParameters(config, 5));
  };
  const device = () => (tf.backend() as unknown as { device: GPUDevice }).device;

  /** Runs a generation, whose device goes at the 14th token. */
  async function run(generation: Generation, loses: boolean): Promise<number[][]> {
    let events = 0;
    for await (const event of generation) {
      expect(event.token).toBe(generation.tokens(event.sequence).at(-1));
      if (loses && ++events === 14) device().destroy();
    }
    return PROMPTS.map((_, index) => generation.tokens(index));
  }

  it('is reported as such, and another device resumes to the same text', async () => {
    let decoder = await open();
    const options: GenerateOptions = { maxNewTokens: 12 };
    const whole = await run(generate(decoder, PROMPTS, options), false);

    const told: unknown[] = [];
    const generation = generate(decoder, PROMPTS, {
      ...options,
      async recover(error) {
        told.push(error);
        expect(PROMPTS.map((_, index) => generation.tokens(index))).toEqual(whole.map((tokens) => tokens.slice(0, 5)));
        decoder.dispose();
        return (decoder = await open());
      },
    });
    expect(await run(generation, true)).toEqual(whole);
    expect(told).toEqual([expect.objectContaining({ message: expect.stringMatching(/^webgpu: the device was lost: /) as string })]);
    expect(DeviceLostError.isInstance(told[0])).toBe(true);

    const generated = whole.map((tokens) => tokens.slice(0, 5));
    expect(await run(generate(decoder, PROMPTS, { ...options, generated }), false)).toEqual(whole);
    decoder.dispose();
  }, 120_000); // two devices, each of which compiles its programs
});
