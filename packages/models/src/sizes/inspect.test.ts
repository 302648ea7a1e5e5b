import { ArgumentError, FileError } from '@mixsga/backend';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { knownModels } from '../config/known-models';
import { parseAttention } from '../attention/index';
import { parseModelConfig } from '../families/index';
import { inspectConfig, inspectModel } from './inspect';
import { whatFits, type MachineLimits } from './machine';
import { resolveModel, zooModels } from '../zoo';

afterEach(() => void vi.unstubAllEnvs());

describe('inspectModel', () => {
  // The paper's Table 9, which counts 4 bytes a value.
  it.each([
    ['facebook/opt-125m', 73_728, 36_864, 36_867],
    ['meta-llama/Llama-3.2-1B', 65_536, 32_768, 32_772],
    ['google/gemma-2-2b', 212_992, 106_496, 106_502],
  ])('counts the KV bytes a token of %s', async (name, full, gqa, mixsga) => {
    expect(await inspectModel(name)).toMatchObject({ attention: 'mha', kvBudget: 1, kvBytesPerTokenFull: full, kvBytesPerToken: full });
    for (const [attention, bytes] of [['gqa:2', gqa], ['cla:2', gqa], ['mixsga:3:1:6', mixsga]] as const) {
      expect(await inspectModel(name, attention)).toMatchObject({
        ...{ name, attention, kvBudget: 0.5, kvBytesPerTokenFull: full, kvBytesPerToken: bytes },
      });
    }
  });

  it('counts int8 with a scale for each stored head, of keys and of values', async () => {
    expect((await inspectModel('facebook/opt-125m')).kvBytesPerTokenInt8).toBe(12 * 12 * 2 * (64 + 4));
    expect((await inspectModel('facebook/opt-125m', 'mixsga:3:1:6')).kvBytesPerTokenInt8).toBe(12 * 6 * 2 * (64 + 4) + 3);
  });

  it('counts ratios by layer at the mean of what the layers keep', async () => {
    const attention = `mixsga:${[...new Array<string>(6).fill('1:0:0'), ...new Array<string>(6).fill('0:0:1')].join('/')}=0.625`;
    expect(await inspectModel('facebook/opt-125m', attention)).toMatchObject({ attention, kvBudget: 0.625, kvBytesPerToken: 0.625 * 73_728 + 3 });
    await expect(inspectModel('facebook/opt-350m', attention)).rejects.toThrow('expected ratios for each of the 24 layers');
  });

  it('says the same of a configuration that is at hand', async () => {
    const name = 'facebook/opt-125m';
    const { fits: _, ...report } = await inspectConfig(name, knownModels[name], 'config.json', 'mixsga:3:1:6');
    expect(await inspectModel(name, 'mixsga:3:1:6')).toMatchObject(report);
    await expect(inspectConfig(name, { model_type: 'bert' }, 'config.json')).rejects.toThrow(/^config\.json: /);
  });

  // Counts of the published checkpoints, tied embeddings once.
  it.each([
    ['facebook/opt-125m', 125_239_296],
    ['facebook/opt-350m', 331_196_416],
    ['facebook/opt-1.3b', 1_315_758_080],
    ['facebook/opt-2.7b', 2_651_596_800],
    ['facebook/opt-6.7b', 6_658_473_984],
    ['meta-llama/Llama-3.2-1B', 1_235_814_400],
    ['meta-llama/Llama-3.2-3B', 3_212_749_824],
    ['meta-llama/Llama-3.1-8B', 8_030_261_248],
    ['google/gemma-2-2b', 2_614_341_888],
    ['google/gemma-3-1b-it', 999_885_952],
    ['Qwen/Qwen3-0.6B', 596_049_920],
    ['allenai/OLMo-2-0425-1B', 1_484_916_736],
    ['TinyLlama/TinyLlama-1.1B-Chat-v1.0', 1_100_048_384],
    ['HuggingFaceTB/SmolLM2-135M', 134_515_008],
  ])('counts the parameters of %s', async (name, parameters) => {
    expect((await inspectModel(name)).parameters).toBe(parameters);
  });

  it('counts the parameters that a variant takes away or adds', async () => {
    const layer = 768 * 768 + 768; // one of OPT-125m's K and V projections
    expect((await inspectModel('facebook/opt-125m', 'gqa:2')).parameters).toBe(125_239_296 - 12 * layer);
    expect((await inspectModel('facebook/opt-125m', 'cla:2')).parameters).toBe(125_239_296 - 6 * 2 * layer);
    expect((await inspectModel('facebook/opt-125m', 'mixsga:3:1:6')).parameters).toBe(125_239_296 + 12 * 3 * 769);
  });

  it('describes every known model', async () => {
    for (const name of Object.keys(knownModels)) {
      const report = await inspectModel(name);
      expect(report.heads % report.kvHeads).toBe(0);
      expect(report).not.toHaveProperty('otherParameters');
    }
  });

  it('takes other group sizes where the KV heads need them', async () => {
    const report = await inspectModel('HuggingFaceTB/SmolLM2-135M', 'mixsga:1:3@1,3');
    expect(report).toMatchObject({ kvHeads: 3, kvBudget: 0.5 });
    const refused = inspectModel('HuggingFaceTB/SmolLM2-135M', 'mixsga:3:1:6');
    await expect(refused).rejects.toThrow('expected divisors of the 3 KV heads, got 1, 2, 4; replace 2 by one of 1, 3');
  });

  it('counts memory, work and KV bytes by variant', async () => {
    // A token meets 12·(4·768² + 2·768·3072) weights in the layers and 50272·768 in the head.
    const opt = await inspectModel('facebook/opt-125m');
    expect(opt).toMatchObject({ flopsPerToken: 247_087_104, flopsPerCachedToken: 36_864 });
    const positionsAndVectors = 2050 * 768 + 12 * (9 * 768 + 3072 + 768) - 12 * 768 + 2 * 768;
    const matrices = opt.parameters - positionsAndVectors;
    expect(opt.weightBytes.f32).toBe(4 * opt.parameters);
    expect(opt.weightBytes.bf16).toBe(2 * matrices + 4 * positionsAndVectors);
    expect(opt.weightBytes.int8).toBe(matrices + 4 * positionsAndVectors + 4 * (50272 + 12 * (5 * 768 + 3072)));
    expect(opt.kvBytesPerTokenBy).toEqual({
      mha: 73_728, 'gqa:2': 36_864, 'cla:2': 36_864, 'mixsga:3:1:6': 36_867, 'mixsga-root:3:1:6': 36_867, 'latent:1@4': 18_432,
    });
    // Its untied embeddings are looked up, not multiplied.
    const tiny = await inspectModel('TinyLlama/TinyLlama-1.1B-Chat-v1.0');
    const vectors = 45 * 2048;
    expect(tiny.flopsPerToken).toBe(2 * (tiny.parameters - vectors - 32000 * 2048));
    const { flopsPerToken } = await inspectModel('TinyLlama/TinyLlama-1.1B-Chat-v1.0', 'mixsga:3:1:6');
    expect(tiny.flopsPerToken - flopsPerToken).toBe(22 * 2 * 256 * 2048); // half of K and V
    expect((await inspectModel('HuggingFaceTB/SmolLM2-135M')).kvBytesPerTokenBy).toEqual({ mha: 46_080, 'cla:2': 23_040 });
  });

  it('says how a machine can run it', () => {
    const fits = (model: string, attention: string, limits: MachineLimits) =>
      whatFits(parseModelConfig(knownModels[model], model), parseAttention(attention), limits).map(
        ({ backend, weights, tokens }) => `${backend} ${weights} ${tokens}`,
      );
    const ample = { memory: 2 ** 40, webgpuBuffer: null };
    expect(fits('facebook/opt-125m', 'mha', ample)).toEqual(['wasm f32 2048', 'wasm bf16 2048', 'wasm int8 2048']);
    // 8 billion parameters do not fit in 4 GiB; 3.2 billion do in one byte each, with some of their context.
    expect(fits('meta-llama/Llama-3.1-8B', 'mha', ample)).toEqual([]);
    expect(fits('meta-llama/Llama-3.2-3B', 'mha', ample)).toEqual([expect.stringMatching(/^wasm int8 2\d{3}$/)]);
    expect(fits('meta-llama/Llama-3.2-3B', 'gqa:2', ample)).toEqual([expect.stringMatching(/^wasm int8 [56]\d{3}$/)]);
    expect(fits('meta-llama/Llama-3.2-1B', 'mha', { memory: 2 ** 31, webgpuBuffer: 2 ** 29 })).toEqual([
      expect.stringMatching(/^wasm int8 \d+$/), 'webgpu bf16 131072', 'webgpu int8 131072',
    ]);
  });

  it('suggests the nearest name', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expect(inspectModel('facebook/opt-125')).rejects.toThrow(FileError);
    await expect(inspectModel('facebook/opt-125')).rejects.toThrow('did you mean facebook/opt-125m?');
    await expect(inspectModel('nothing like it')).rejects.toThrow('expected one of sotu-mini, facebook/opt-125m');
    await expect(inspectModel('constructor')).rejects.toThrow(ArgumentError);
  });
});

describe('a model folder', () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-inspect-'))));
  afterEach(() => rm(folder, { recursive: true }));
  const write = (config: object) => writeFile(join(folder, 'config.json'), JSON.stringify(config));

  it('is described by its own attention, or another', async () => {
    await write({ ...knownModels['facebook/opt-125m'], mixsga: { attention: 'mixsga:3:1:6' } });
    expect(await inspectModel(folder)).toMatchObject({ name: folder, attention: 'mixsga:3:1:6', kvBytesPerToken: 36_867 });
    expect(await inspectModel(folder, 'gqa:4')).toMatchObject({ attention: 'gqa:4', kvBytesPerToken: 18_432 });
    expect(await resolveModel(folder)).toEqual({ name: folder, directory: folder });
  });

  it('has to have a config.json of a known family', async () => {
    await expect(inspectModel(folder)).rejects.toThrow(`${folder}: expected a model folder with config.json`);
    await write({ model_type: 'lama' });
    await expect(inspectModel(folder)).rejects.toThrow(FileError);
    await expect(inspectModel(folder)).rejects.toThrow('config.json: unknown model_type "lama"; did you mean llama?');
    await write({ ...knownModels['google/gemma-2-2b'], hidden_size: -1 });
    await expect(inspectModel(folder)).rejects.toThrow('hidden_size: expected a whole number above 0, got -1');
  });
});

describe('resolveModel', () => {
  it('finds a shipped model', async () => {
    expect(await zooModels()).toContain('sotu-mini');
    const { directory } = await resolveModel('sotu-mini');
    expect(directory).toMatch(/zoo.sotu-mini$/);
  });

  it('says that weights are not here, or which models are', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    vi.stubEnv('HF_HOME', '/nowhere');
    await expect(resolveModel('facebook/opt-125m')).rejects.toThrow(
      /^facebook\/opt-125m: no folder of this name, and from the hub: .*not in the cache, and HF_HUB_OFFLINE is set; unset it/,
    );
    await expect(resolveModel('sotu-mimi')).rejects.toThrow('"sotu-mimi": no such folder; did you mean sotu-mini?');
  });
});
