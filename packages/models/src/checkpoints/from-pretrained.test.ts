import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArgumentError, FileError, startBackend, trackTensors } from '@mixsga/backend';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { routerOf } from '../attention/layer-router';
import { openModelCheckpoint, trainableOf } from './checkpoint';
import { convertModel } from './convert';
import { convertCheckpoint } from './convert-checkpoint';
import { createDecoder } from '../decoder/create-decoder';
import { parseModelConfig } from '../families/index';
import { storedParameters } from './stored-parameters';
import { fromPretrained } from './from-pretrained';
import { generateText } from '../generation/generate';
import { decodeSafetensors, encodeSafetensors, fromFloat32, type FloatDtype } from '../io/safetensors';
import type { Tokenizer } from '../tokenizers/tokenizer';
import { tinyConfig, tinyForms, tinyTokens, tinyValues, type TinyForm } from '../testing/tiny-models';

const zoo = fileURLToPath(new URL('../../zoo/sotu-mini', import.meta.url));
/** A tokenizer of the tiny models' vocabulary. */
const words = {
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Whitespace' },
  post_processor: null, decoder: null,
  model: { type: 'WordLevel', vocab: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`w${i}`, i])), unk_token: 'w0' },
};

let folder: string;
beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'mixsga-pretrained-'))));
afterEach(() => rm(folder, { recursive: true }));

interface SaveChanges {
  /** A parameter to leave out. */
  without?: string;
  config?: object;
  rename?: (name: string) => string;
  dtype?: FloatDtype;
}

/** Writes a tiny model into the folder. */
async function save(
  form: TinyForm,
  { without, config = {}, rename = (name) => name, dtype }: SaveChanges = {},
) {
  const parsed = tinyConfig(form);
  const values = tinyValues(parsed, 5);
  const parameters = storedParameters(parsed).filter(({ name }) => name !== without);
  const entries = new Map(parameters.map(({ name, shape }) => [rename(name), fromFloat32(values.get(name)!, shape, dtype)]));
  await writeFile(join(folder, 'model.safetensors'), encodeSafetensors(entries));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...tinyForms[form], ...config }));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(words));
  return { config: parsed, values };
}

/** A signal that is aborted when it is looked at for the time after `looks`. */
function stopAfter(looks: number, controller: AbortController): AbortSignal {
  const { signal } = controller;
  const look = signal.throwIfAborted.bind(signal);
  let left = looks;
  signal.throwIfAborted = () => {
    if (left-- === 0) controller.abort(new Error('enough'));
    look();
  };
  return signal;
}

describe('convertCheckpoint', () => {
  it.each(Object.keys(tinyForms) as TinyForm[])('writes %s so that it opens as it would be converted on the way', async (form) => {
    await save(form);
    const attentions = form === 'llama with 3 KV heads' ? ['gqa:3', 'mixsga:1:2@1,3'] : ['gqa:2', 'cla:2', 'mixsga:3:1:6'];
    for (const attention of attentions) {
      const out = join(folder, attention.replaceAll(/\W/g, '-'));
      const options = { attention, routerSeed: 3, align: attention.startsWith('mixsga') };
      const written = await convertCheckpoint(folder, out, options);
      const [a, b] = [await fromPretrained(out), await fromPretrained(folder, options)];
      expect(a.config).toEqual(b.config);
      expect(a.config).toEqual(written);
      expect(a.tokenizer.save()).toBe(b.tokenizer.save());
      const logits = async ({ decoder }: typeof a) => (await decoder.prefill(tinyTokens(9, 1), decoder.createCache(), { want: 'logits' })).logits!.slice();
      expect(await logits(a)).toEqual(await logits(b));
      for (const { decoder } of [a, b]) decoder.dispose();
    }
  });

  it('keeps the element types, and writes nothing when it fails', async () => {
    await save('llama', { dtype: 'BF16' });
    const out = join(folder, 'out');
    await convertCheckpoint(folder, out, { attention: 'mixsga:3:1:6' });
    const tensors = decodeSafetensors(await readFile(join(out, 'model.safetensors')), 'out');
    const before = decodeSafetensors(await readFile(join(folder, 'model.safetensors')), 'in');
    for (const [name, { dtype, data }] of before) expect(tensors.get(name)).toMatchObject({ dtype, data });
    expect(tensors.get('model.layers.3.self_attn.router.weight')).toMatchObject({ dtype: 'F32', shape: [3, 32] });
    for (const readings of [0, 7]) {
      const controller = new AbortController();
      const converting = convertCheckpoint(folder, join(folder, 'stopped'), { attention: 'gqa:2', signal: stopAfter(readings, controller) });
      await expect(converting).rejects.toThrow('enough');
      expect(await readdir(join(folder, 'stopped')).catch(() => [])).toEqual([]);
    }
    const refused = convertCheckpoint(folder, join(folder, 'none'), { attention: 'gqa:8' });
    await expect(refused).rejects.toThrow('expected divisors of the 4 KV heads, got 8');
    await expect(readFile(join(folder, 'none', 'config.json'))).rejects.toThrow('ENOENT');
    await expect(convertCheckpoint(out, join(folder, 'none'), { attention: 'mha' })).rejects.toThrow('expected a checkpoint with mha attention, got mixsga:3:1:6');
  });
});

describe('openModelCheckpoint', () => {
  it('parses configuration and tokenizer once, whoever asks', async () => {
    const blobOf = async (name: string) => new Blob([await readFile(`${zoo}/${name}`)]);
    const files = await Promise.all(['config.json', 'tokenizer.json', 'model.safetensors'].map(async (name) => ({ name, blob: await blobOf(name) })));
    const slices = files.map(({ blob }) => vi.spyOn(blob, 'slice'));
    let early: Tokenizer | undefined;
    const checkpoint = await openModelCheckpoint(files, { check: async ({ createTokenizer }) => void (early = await createTokenizer()) });
    expect(await checkpoint.createTokenizer()).toBe(early);
    expect((await checkpoint.tokenizer()).json).toBe((await checkpoint.tokenizer()).json);
    const model = await trainableOf(checkpoint);
    expect(model.config).toBe(checkpoint.modelConfig);
    expect(slices.slice(0, 2).map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
    model.dispose();
    await checkpoint.tensors.close();
  });
});

describe('fromPretrained', () => {
  it('reads no further tensor once it is stopped, and leaves nothing on the backend', async () => {
    await save('llama');
    const { tensors } = await trackTensors(async () => {
      for (const looks of [1, 4, 20]) {
        const opening = fromPretrained(folder, { signal: stopAfter(looks, new AbortController()) });
        await expect(opening).rejects.toThrow('enough');
      }
    });
    expect(tensors).toBe(0);
  });

  it('opens a shipped model with its tokenizer, under another attention variant', async () => {
    const { decoder, tokenizer, config, stopTokens, prefixToken } = await fromPretrained('sotu-mini', { attention: 'mixsga:3:1:6', routerSeed: 2 });
    expect(config.mixsga).toEqual({ attention: 'mixsga:3:1:6', router: 'sigmoid', routerSeed: 2 });
    expect(decoder.attention).toBe('mixsga:3:1:6');
    expect(stopTokens).toEqual([2]);
    expect(prefixToken).toBe(2);
    expect((await generateText(decoder, tokenizer, 'The state of', { maxNewTokens: 5 })).stats.newTokens).toBe(5);
    decoder.dispose();
  });

  it('gives routers of a kind to what it converts, and to nothing else', async () => {
    await save('llama');
    const { decoder, config } = await fromPretrained(folder, { attention: 'mixsga:3:1:6', router: 'random' });
    expect(routerOf(config)).toBe('random');
    decoder.dispose();
    for (const [attention, expected] of [[undefined, 'none, since mha routes no tokens'], ['gqa:2', 'none, since gqa:2 routes no tokens']] as const) {
      await expect(fromPretrained(folder, { ...(attention && { attention }), router: 'random' })).rejects.toThrow(`router: expected ${expected}, got random; routers are made where`);
    }
  });

  it('aligns heads of what it converts, and of nothing else', async () => {
    await save('llama');
    const { decoder, config } = await fromPretrained(folder, { attention: 'gqa:2', align: true });
    expect(config.mixsga).toEqual({ attention: 'gqa:2', align: true });
    decoder.dispose();
    await expect(fromPretrained(folder, { align: true })).rejects.toThrow('align: expected another attention variant than mha, which the checkpoint has');
  });

  it.each(Object.keys(tinyForms) as TinyForm[])('reads %s from a folder, converting on the way', async (form) => {
    const { config, values } = await save(form);
    const attention = form === 'llama with 3 KV heads' ? 'gqa:3' : 'gqa:2';
    const converted = convertModel(config, values, attention);
    const expected = await createDecoder(converted.config, converted.values);
    const { decoder } = await fromPretrained(folder, { attention });
    const logits = async (of: typeof decoder) => (await of.prefill(tinyTokens(9, 1), of.createCache(), { want: 'logits' })).logits!.slice();
    expect(await logits(decoder)).toEqual(await logits(expected));
    decoder.dispose();
    expected.dispose();
  });

  it('takes the names of a bare model, and files given one by one', async () => {
    await save('llama', { rename: (name) => name.replace(/^model\./, '') });
    const names = ['config.json', 'model.safetensors', 'tokenizer.json'];
    const files = await Promise.all(names.map(async (name) => ({ name, blob: new Blob([await readFile(join(folder, name))]) })));
    const { decoder, tokenizer, config } = await fromPretrained(files, { weights: 'bf16' });
    expect(config.model_type).toBe('llama');
    expect(tokenizer.encode('w3 w4')).toEqual([3, 4]);
    decoder.dispose();
  });

  it('stops where generation_config.json says', async () => {
    await save('gemma2', { config: { eos_token_id: 1 } });
    const stopTokens = async () => {
      const { decoder, stopTokens } = await fromPretrained(folder);
      decoder.dispose();
      return stopTokens;
    };
    expect(await stopTokens()).toEqual([1]);
    await writeFile(join(folder, 'generation_config.json'), '{"eos_token_id": [1, 7], "top_k": 3}');
    expect(await stopTokens()).toEqual([1, 7]);
    await writeFile(join(folder, 'generation_config.json'), '{"eos_token_id": "</s>"}');
    await expect(fromPretrained(folder)).rejects.toThrow('generation_config.json: eos_token_id: expected a token id, or a list of them, got "</s>"');
  });

  it.each<[object, object | null, number | null]>([
    [{ bos_token_id: 7, eos_token_id: 1 }, null, 7],
    [{ eos_token_id: [5, 1] }, null, 5],
    [{}, null, null],
    [{ bos_token_id: 7 }, {}, 7],
    [{ bos_token_id: 7 }, { bos_token: 'w9' }, 9],
    [{ bos_token_id: 7 }, { bos_token: { __type: 'AddedToken', content: 'w8', lstrip: false } }, 8],
    [{ bos_token_id: 7, eos_token_id: 1 }, { bos_token: null, eos_token: 'w4' }, 4],
    [{ bos_token_id: 7, eos_token_id: 1 }, { bos_token: null }, 1],
    [{ bos_token_id: 7 }, { bos_token: 'not of the vocabulary' }, 7],
  ])('begins a text with the BOS of the tokenizer, or its EOS: %j and %j', async (config, tokenizerConfig, expected) => {
    await save('llama', { config });
    if (tokenizerConfig) await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
    const { decoder, prefixToken } = await fromPretrained(folder);
    decoder.dispose();
    expect(prefixToken).toBe(expected);
  });

  it('names what is wrong, and leaves nothing on the backend', async () => {
    const refused = async (message: string, options = {}, kind: typeof FileError | typeof ArgumentError = FileError) => {
      const leaks = await trackTensors(async () => {
        const error: unknown = await fromPretrained(folder, options).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(kind);
        expect((error as Error).message).toContain(message);
      });
      expect(leaks).toMatchObject({ tensors: 0, bytes: 0 });
    };
    await save('llama', { without: 'model.layers.2.self_attn.v_proj.weight' });
    await refused('model.safetensors: expected a tensor model.layers.2.self_attn.v_proj.weight of shape [16, 32], and there is none');
    await save('llama', { config: { intermediate_size: 40 } });
    await refused('model.safetensors: model.layers.0.mlp.gate_proj.weight: expected shape [40, 32], got [48, 32]');
    await save('llama', { config: { model_type: 'mistral' } });
    await refused('config.json: unknown model_type "mistral"; expected one of opt, llama, gemma2, gemma3_text, qwen3, olmo2');
    await save('llama', { config: { vocab_size: 49 } });
    await refused('model.embed_tokens.weight: expected shape [49, 32], got [50, 32]');
    await save('llama');
    await refused('expected divisors of the 4 KV heads, got 8', { attention: 'gqa:8' }, ArgumentError);
    await writeFile(join(folder, 'tokenizer.json'), await readFile(join(zoo, 'tokenizer.json')));
    await refused("tokenizer.json: expected at most 50 tokens, the model's vocab_size, got 2048; is it this model's tokenizer?");
  });
});

it('parseModelConfig suggests the nearest family', () => {
  expect(() => parseModelConfig({ model_type: 'gemma' }, 'c.json')).toThrow(
    'c.json: unknown model_type "gemma"; did you mean gemma2? (supported: opt, llama, gemma2, gemma3_text, qwen3, olmo2)',
  );
});
