import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { createRuntime, startBackend, storedGroups } from '@mixsga/backend';
import { parseHarnessResults } from '@mixsga/evaluators';
import { CachePool } from '@mixsga/kv-cache';
import { encodeSafetensors, fromFloat32, knownModels, loadTokenizer, openCheckpoint, parseModelConfig } from '@mixsga/models';
import { parseReport } from '@mixsga/training';
import { readFileRows, SampleFile } from '@mixsga/training/node';

import type { Reader } from './fuzz';

const at = (path: string): string => fileURLToPath(new URL(`../../../../../${path}`, import.meta.url));
const utf8 = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
const TEXT = 'The state of the Union is 1234 <|im_end|> grün\u00a0😀\n\tdon\'t';

const values = Float32Array.from({ length: 12 }, (_, i) => i / 8);
const weights = new Map([
  ['model.layers.0.weight', fromFloat32(values, [3, 4])],
  ['b', fromFloat32(values, [12], 'F16')],
  ['__proto__', fromFloat32(values, [2, 2, 3], 'BF16')],
]);
const safetensors = encodeSafetensors(weights, { format: 'pt' });
const config = utf8({ model_type: 'opt' });

async function readCheckpoint(files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  const references = Object.entries({ 'config.json': config, ...files }).map(([name, bytes]) => ({ name, blob: new Blob([new Uint8Array(bytes)]) }));
  const { tensors } = await openCheckpoint(references);
  try {
    for (const [name, { dtype }] of tensors.tensors) await (/^(B?F16|F32|F64)$/.test(dtype) ? tensors.read(name) : tensors.readRaw(name));
  } finally {
    await tensors.close();
  }
}

/** Reads the rows of a file, whatever its name says. */
async function readRowsOf(folder: string, name: string, bytes: Uint8Array, skipBroken = true): Promise<void> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  for await (const _ of readFileRows({ path, name }, { skipBroken, onSkip: () => undefined }));
}

/** A small cache, and a pool that restores it. */
async function cacheOf(): Promise<{ bytes: Uint8Array; pool: CachePool }> {
  await startBackend('cpu');
  const pool = new CachePool(createRuntime(), { layers: 2, formats: [1, 2, 4].map((groupSize) => storedGroups({ kvHeads: 4, headDim: 3, groupSize })), fingerprint: 'model-1' });
  const cache = pool.create();
  for (let token = 0; token < 9; token++) {
    const experts = [token % 3, (token >> 1) % 3];
    experts.forEach((expert, layer) => {
      const { segments, slots } = cache.view(layer);
      const { store } = segments[expert]!;
      const row = Float32Array.from({ length: store.heads * store.headDim }, (_, i) => Math.sin(token + i));
      store.write(slots[expert]!.page, slots[expert]!.offset, row, row);
    });
    cache.commit(experts);
  }
  return { bytes: await cache.serialise(), pool };
}

/** With the checksum that its bytes should have. */
function signed(cache: Uint8Array): Uint8Array {
  const body = cache.subarray(0, Math.max(0, cache.length - 32));
  return new Uint8Array(Buffer.concat([body, createHash('sha256').update(body).digest()]));
}

/** All that reads files from elsewhere. @param folder for files that are read from a disk */
export async function readers(folder: string): Promise<Reader[]> {
  const testing = at('packages/models/src/io/testing');
  const torch = ['state-dict.bin', 'views.bin'].map((name) => new Uint8Array(readFileSync(join(testing, name))));
  const legacy = new Uint8Array(readFileSync(join(testing, 'views-legacy.bin')));
  const index = utf8({ metadata: { total_size: 96 }, weight_map: { 'model.layers.0.weight': '1.safetensors', b: '1.safetensors', ['__proto__x']: '1.safetensors' } });
  const configs = Object.values(knownModels).map((known) => utf8({ ...known, mixsga: { attention: 'mha' } }));
  const tokenizers = at('packages/models/src/fixtures/tokenizers');
  const tokenizerFiles = [at('packages/models/src/fixtures/tokenizer.json'), ...readdirSync(tokenizers).filter((name) => name.endsWith('.json')).map((name) => join(tokenizers, name))]
    .map((path) => new Uint8Array(readFileSync(path)))
    .filter(({ length }) => length < 2 ** 16);
  const vocabulary = utf8(Object.fromEntries(['<s>', '<pad>', '</s>', '<unk>', 'a', 'b', 'ab', 'Ġ', 'Ġa', 'c'].map((token, id) => [token, id])));
  const parquet = readdirSync(at('packages/training/src/data/fixtures')).filter((name) => name.endsWith('.parquet')).map((name) => new Uint8Array(readFileSync(at(`packages/training/src/data/fixtures/${name}`))));
  const lines = utf8('{"text": "The state", "n": 1}\n{"text": "grün", "list": [1, null]}\n\n{"text": "x", "n": NaN}\n');
  const rows = utf8({ version: 1, data: [{ text: 'a', choices: { text: ['x', 'y'], label: [0, 1] } }, { text: 'b' }] });
  const cache = await cacheOf();
  const results = utf8({ results: { piqa: { alias: 'piqa', 'acc,none': 0.5, 'acc_stderr,none': 'N/A' } }, configs: { piqa: { task: 'piqa' } }, versions: { piqa: 1 }, 'n-shot': { piqa: 0 }, higher_is_better: { piqa: { acc: true } }, 'n-samples': { piqa: { original: 2, effective: 2 } }, config: { model: 'm' }, date: 1, model_name: 'm' });
  const report = new Uint8Array(readFileSync(at('docs/results/aligned.json')));
  const header = { task: 'piqa', version: 1, settings: { model: 'm', data: 'd' } };
  const samples = utf8(`${JSON.stringify({ schema: 'mixsga/samples@1', ...header })}\n{"doc_id": 0, "acc": 1}\n{"doc_id": 1, "acc": 0}\n`);
  const slow = join(folder, 'slow');
  return [
    { name: 'safetensors', make: (m) => m.bytes(safetensors), read: (bytes) => readCheckpoint({ 'model.safetensors': bytes }) },
    { name: 'shard index', make: (m) => m.json(index), read: (bytes) => readCheckpoint({ 'model.safetensors.index.json': bytes, '1.safetensors': safetensors }) },
    { name: 'pytorch_model.bin', make: (m) => m.bytes(m.of(torch)), read: (bytes) => readCheckpoint({ 'pytorch_model.bin': bytes }) },
    { name: 'pytorch_model.bin before 1.6', make: (m) => m.bytes(legacy), read: (bytes) => readCheckpoint({ 'pytorch_model.bin': bytes }) },
    {
      name: 'config.json',
      make: (m) => m.json(m.of(configs)),
      read: async (bytes) => {
        const references = [{ name: 'config.json', blob: new Blob([new Uint8Array(bytes)]) }, { name: 'model.safetensors', blob: new Blob([safetensors]) }];
        const opened = await openCheckpoint(references);
        await opened.tensors.close();
        parseModelConfig(opened.config as never, 'config.json');
      },
    },
    {
      name: 'tokenizer.json',
      make: (m) => m.json(m.of(tokenizerFiles)),
      read: async (bytes) => {
        const path = join(folder, 'tokenizer.json');
        writeFileSync(path, bytes);
        const tokenizer = await loadTokenizer(path);
        tokenizer.decode(tokenizer.encode(TEXT));
      },
    },
    {
      name: 'vocab.json and merges.txt',
      make: (m) => m.json(vocabulary),
      read: async (bytes) => {
        writeFileSync(join(slow, 'vocab.json'), bytes);
        writeFileSync(join(slow, 'merges.txt'), '#version: 0.2\na b\nĠ a\n');
        writeFileSync(join(slow, 'tokenizer_config.json'), '{"tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>", "add_bos_token": true}');
        const tokenizer = await loadTokenizer(slow);
        tokenizer.decode(tokenizer.encode('ab a'));
      },
    },
    { name: 'Parquet', make: (m) => m.bytes(m.of(parquet)), read: (bytes) => readRowsOf(folder, 'x.parquet', bytes) },
    { name: 'JSON Lines', make: (m) => m.bytes(lines), read: (bytes) => readRowsOf(folder, 'x.jsonl', bytes, false) },
    { name: 'JSON', make: (m) => m.json(rows), read: (bytes) => readRowsOf(folder, 'x.json', bytes) },
    {
      name: 'serialised cache',
      make: (m) => (m.below(4) === 0 ? m.bytes(cache.bytes) : signed(m.bytes(cache.bytes))),
      read: async (bytes) => (await cache.pool.restore(bytes)).dispose(),
    },
    { name: 'results of the harness', make: (m) => m.json(results), read: (bytes) => parseHarnessResults(jsonOrSkip(bytes), 'results.json') },
    { name: 'report.json', make: (m) => m.json(report), read: (bytes) => parseReport(jsonOrSkip(bytes), 'report.json') },
    {
      name: 'samples',
      make: (m) => m.bytes(samples),
      read: (bytes) => {
        const path = join(folder, 'samples.jsonl');
        writeFileSync(path, bytes);
        new SampleFile(path, header, true).close();
      },
    },
  ];
}

/** For readers of values that were parsed: bytes that are no JSON are an empty object. */
function jsonOrSkip(bytes: Uint8Array): unknown {
  try {
    return parse(bytes);
  } catch {
    return {};
  }
}

