import { BackendError } from '@mixsga/backend';
import type * as Os from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseAttention } from '../attention/index';
import { knownModels } from '../config/known-models';
import { parseModelConfig } from '../families/index';
import { fromPretrained } from '../checkpoints/from-pretrained';
import { convertCheckpoint } from '../checkpoints/convert-checkpoint';
import { expectConversionFits, expectFits, expectTrainingFits, machineLimits, whatFits } from './machine';
import { runningMemory, trainingMemory, type RunningTypes, type Workload } from './memory';
import type { Tokenizer } from '../tokenizers/tokenizer';

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
    const check = () => expectFits('llama', llama, mha, 'wasm', { weights: 'f32' }, limits);
    expect(check).toThrow(BackendError);
    expect(check).toThrow('llama: its weights as f32 take 4,944 MB on wasm, and 3,866 MB are usable; choose bf16 weights (--weights bf16), which leave room for ');
    expect(check).toThrow(`or int8 weights (--weights int8), which leave room for ${tokens} tokens`);
    expect(() => expectFits('llama', llama, mha, 'wasm', { weights: 'bf16' }, limits)).not.toThrow();
  });

  it('says so where nothing fits', () => {
    expect(() => expectFits('large', large, mha, 'wasm', { weights: 'int8' }, limits)).toThrow('; choose a smaller model or another backend');
  });

  it('knows nothing of backends that do not tell', () => {
    for (const backend of ['cpu', 'webgpu']) expect(() => expectFits('large', large, mha, backend, { weights: 'f32' }, limits)).not.toThrow();
    expect(() => expectFits('large', large, mha, 'webgpu', { weights: 'f32' }, { ...limits, webgpuBuffer: 2 ** 20 })).toThrow(/f32 take [\d,]+ MB on webgpu; choose/);
  });
});

describe('what a model is to do', () => {
  const opt = parseModelConfig(knownModels['facebook/opt-125m'], 'known');
  const check = (types: RunningTypes, workload: Workload, memory = 2 ** 30, config = opt) =>
    () => expectFits('opt', config, mha, 'wasm', types, { memory, webgpuBuffer: null }, workload);
  const perToken = 4 * 2 * 12 * 768; // keys and values of 12 layers
  const perPass = 4 * 4 * 768; // hidden states, queries, keys and values

  it('counts weights, caches and a pass', () => {
    const { weights, cache, pass } = runningMemory(opt, mha, { weights: 'f32' }, { sequences: 3, passTokens: 100, cachedTokens: 200 });
    expect(weights).toBe(4 * 125_239_296);
    expect([cache, pass]).toEqual([3 * 200 * perToken, 100 * perPass]);
    expect(runningMemory(opt, mha, { weights: 'f32' }, { sequences: 3, cachedTokens: 200, cache: 'oldest:5000B' }).cache).toBe(15_000);
    const limited = (limit: string) => runningMemory(opt, mha, { weights: 'f32' }, { sequences: 3, cachedTokens: 200, cache: limit }).cache;
    expect([limited('oldest:25%'), limited('h2o:0.5'), limited('none')]).toEqual([0.25, 1, 1].map((share) => share * 3 * 200 * perToken));
    expect(runningMemory(opt, mha, { weights: 'f32', kv: 'int8' }, { cachedTokens: 1 }).cache).toBe(perToken / 4 + 12 * 2 * 12 * 4);
  });

  it('is refused where it does not fit, with what would', () => {
    // 966 MB are usable, the weights take 501, and 6,000 tokens 442 and 74 more.
    const long = { passTokens: 6000, cachedTokens: 6000 };
    expect(check({ weights: 'f32' }, long)).toThrow(
      'opt: its weights as f32 take 501 MB, a KV cache of 6,000 tokens 443 MB, a pass over 6,000 tokens 74 MB on wasm, and 967 MB are usable; ' +
        'choose an int8 cache (--kv int8), or bf16 weights (--weights bf16), which leave room for 2,048 tokens, or int8 weights (--weights int8), ' +
        'which leave room for 2,048 tokens, or a KV budget of at most 391682457 bytes (--kv-budget 391682457), or at most 2,048 tokens of text at a time',
    );
    expect(check({ weights: 'f32', kv: 'int8' }, long)).not.toThrow();
    expect(check({ weights: 'int8' }, long)).not.toThrow();
    expect(check({ weights: 'f32' }, { ...long, cache: 'oldest:391682457B' })).not.toThrow();
    expect(check({ weights: 'f32' }, { ...long, cache: 'oldest:391682458B' })).toThrow('on wasm');
    expect(check({ weights: 'f32' }, { passTokens: 2048, cachedTokens: 2048 })).not.toThrow();
  });

  it('of many sequences, and where only fewer of them fit', () => {
    expect(check({ weights: 'f32' }, { sequences: 400, cachedTokens: 200 })).toThrow('a KV cache of 200 tokens of 400 sequences 5,899 MB');
    expect(check({ weights: 'int8' }, { sequences: 60_000, cachedTokens: 1000 })).toThrow('; choose fewer sequences at a time');
  });

  it('is the same estimate as that of inspect, to a token', () => {
    const tokens = whatFits(llama, mha, { memory: 2 ** 32, webgpuBuffer: null }).find(({ weights }) => weights === 'bf16')!.tokens;
    const at = (count: number) => check({ weights: 'bf16' }, { passTokens: count, cachedTokens: count }, 2 ** 32, llama);
    expect(tokens).toBeGreaterThan(1000);
    expect(at(tokens)).not.toThrow();
    expect(at(tokens + 1)).toThrow(`or at most ${tokens.toLocaleString('en')} tokens of text at a time`);
  });
});

describe('training', () => {
  const opt = parseModelConfig(knownModels['facebook/opt-125m'], 'known');
  const check = (batchSize: number, memory = 2 ** 33, sequenceLength = 512) =>
    () => expectTrainingFits(opt, { batchSize, sequenceLength }, 'wasm', { memory });

  it('is refused by the name of its batch, with the batch that fits', () => {
    expect(check(2)).not.toThrow();
    expect(check(64)).toThrow(/^training: a batch of 64 sequences of 512 tokens takes about [\d,]+ MB, weights, gradients and moments 2,[\d,]+ MB, and 4,295 MB are usable on wasm; lower batchSize to at most \d+ \(accumulate adds batches up\), or lower sequenceLength$/);
    const most = Number(/at most (\d+)/.exec(String(catchError(check(64))))![1]);
    expect(most).toBeGreaterThan(1);
    expect(check(most)).not.toThrow();
    expect(check(most + 1)).toThrow('batchSize');
    expect(check(1, 2 ** 33, 400_000)).toThrow('; set batchSize to 1, or lower sequenceLength');
    expect(check(1, 1e9)).toThrow(/^training: weights, gradients and moments take 2,\d+ MB, and 1,000 MB are usable on wasm; choose a smaller model/);
    expect(() => expectTrainingFits(large, { batchSize: 9, sequenceLength: 9 }, 'cuda', { memory: 1 })).not.toThrow();
  });

  it('takes more with a teacher, and with batches that are added up', () => {
    const { fixed, perSequence } = trainingMemory(opt, { batchSize: 1, sequenceLength: 64 });
    expect(trainingMemory(opt, { batchSize: 1, sequenceLength: 128 }).perSequence).toBeCloseTo(2 * perSequence, -1);
    expect(trainingMemory(opt, { batchSize: 1, sequenceLength: 64, accumulate: 2 }).fixed).toBe(fixed + 4 * 125_239_296);
    expect(trainingMemory(opt, { batchSize: 1, sequenceLength: 64, distillation: true }).fixed).toBe(fixed + 4 * 125_239_296);
  });
});

describe('a conversion', () => {
  it('is refused where its largest parameter does not fit', async () => {
    expect(() => expectConversionFits('large', large, { memory: 2e9 })).toThrow(
      /^large: its largest parameter takes 6,\d+ MB to convert, and 1,800 MB of memory are usable; convert it on a larger machine$/,
    );
    expect(() => expectConversionFits('large', large, { memory: 8e9 })).not.toThrow();
    memory = 1e6;
    await expect(convertCheckpoint('sotu-mini', '/nowhere', { attention: 'gqa:2' })).rejects.toThrow('sotu-mini: its largest parameter takes');
  });
});

describe('machineLimits', () => {
  it('are those of the container, where it has less than the machine', async () => {
    const limit = vi.spyOn(process, 'constrainedMemory');
    try {
      for (const [constrained, expected] of [[1e9, 1e9], [0, 8e9], [2 ** 64, 8e9], [undefined, 8e9]] as const) {
        memory = 8e9;
        limit.mockReturnValue(constrained as number);
        expect(await machineLimits(false)).toEqual({ memory: expected, webgpuBuffer: null });
      }
    } finally {
      limit.mockRestore();
    }
  });
});

function catchError(body: () => void): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  return null;
}

describe('fromPretrained', () => {
  it('refuses what does not fit before it reads weights', async () => {
    memory = 4e6;
    await expect(fromPretrained('sotu-mini', { backend: 'wasm' })).rejects.toThrow(/^sotu-mini: its weights as f32 take \d MB on wasm, and 4 MB are usable; choose bf16 weights/);
    const { decoder } = await fromPretrained('sotu-mini', { backend: 'wasm', weights: 'int8' });
    decoder.dispose();
  });

  it('refuses what it is to do by the tokens of its tokenizer', async () => {
    memory = 20e6;
    const workload = ({ tokenizer, contextLength }: { tokenizer: Tokenizer; contextLength: number }) => {
      expect([tokenizer.encode('The state').length > 1, contextLength]).toEqual([true, 256]);
      return [{ passTokens: 256 }, { sequences: 100, cachedTokens: 256 }];
    };
    await expect(fromPretrained('sotu-mini', { backend: 'wasm', workload })).rejects.toThrow(/^sotu-mini: .* a KV cache of 256 tokens of 100 sequences \d+ MB on wasm/);
    const { decoder } = await fromPretrained('sotu-mini', { backend: 'wasm', workload: { passTokens: 256, cachedTokens: 256 } });
    decoder.dispose();
  });
});
