import { BackendError } from '@mixsga/backend';
import type * as Os from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseAttention } from './attention/index';
import { knownModels } from './config/known-models';
import { parseModelConfig } from './families/index';
import { fromPretrained } from './from-pretrained';
import { expectFits, whatFits } from './machine';

let memory = 0;
vi.mock('node:os', async (original) => {
  const os = await original<typeof Os>();
  return { ...os, totalmem: () => memory || os.totalmem() };
});
afterEach(() => void (memory = 0));

const mha = parseAttention('mha');
const llama = parseModelConfig(knownModels['meta-llama/Llama-3.2-1B'], 'known');
const large = parseModelConfig(knownModels['meta-llama/Llama-3.1-8B'], 'known');
const limits = { memory: 2 ** 36, webgpuBuffer: null };

describe('expectFits', () => {
  it('says what would fit, by the estimate of inspect', () => {
    const tokens = whatFits(llama, mha, limits).find(({ weights }) => weights === 'int8')!.tokens.toLocaleString('en');
    const check = () => expectFits('llama', llama, mha, 'wasm', 'f32', limits);
    expect(check).toThrow(BackendError);
    expect(check).toThrow('llama: its weights as f32 take 4,944 MB on wasm, and 3,866 MB are usable; choose other weights (--weights): bf16 with ');
    expect(check).toThrow(`int8 with ${tokens} tokens fit`);
    expect(() => expectFits('llama', llama, mha, 'wasm', 'bf16', limits)).not.toThrow();
  });

  it('says so where nothing fits', () => {
    expect(() => expectFits('large', large, mha, 'wasm', 'int8', limits)).toThrow('; choose a smaller model or another backend');
  });

  it('knows nothing of backends that do not tell', () => {
    for (const backend of ['cpu', 'webgpu']) expect(() => expectFits('large', large, mha, backend, 'f32', limits)).not.toThrow();
    expect(() => expectFits('large', large, mha, 'webgpu', 'f32', { ...limits, webgpuBuffer: 2 ** 20 })).toThrow(/f32 take [\d,]+ MB on webgpu; choose/);
  });
});

describe('fromPretrained', () => {
  it('refuses what does not fit before it reads weights', async () => {
    memory = 4e6;
    await expect(fromPretrained('sotu-mini', { backend: 'wasm' })).rejects.toThrow(/^sotu-mini: its weights as f32 take \d MB on wasm, and 4 MB are usable; choose other weights/);
    const { decoder } = await fromPretrained('sotu-mini', { backend: 'wasm', weights: 'int8' });
    decoder.dispose();
  });
});
