// A small OPT in exactly the files of facebook/opt-125m on the hub: no tokenizer.json, no safetensors (tools/make_published_opt.py).
import { startBackend } from '@mixsga/backend';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { fromPretrained } from '../checkpoints/from-pretrained';
import { generateText } from '../generation/generate';
import { HubServer, HUB_VARIABLES } from './testing/hub-server';

const fixture = fileURLToPath(new URL('../fixtures/published-opt', import.meta.url));
const READ = [
  ...['config.json', 'generation_config.json', 'merges.txt', 'pytorch_model.bin', 'special_tokens_map.json', 'tokenizer_config.json'],
  'vocab.json',
];
const OTHERS = ['.gitattributes', 'LICENSE.md', 'README.md', 'flax_model.msgpack', 'tf_model.h5'];

let home: string;
let hub: HubServer;
let files: Map<string, Uint8Array>;
const serve = async () => {
  hub = new HubServer(files, 'model', 'facebook/opt-125m');
  await hub.start();
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
};
const fetched = () => hub.requests.map(({ path }) => /\/resolve\/[^/]+\/(.+)$/.exec(path)?.[1]).filter((name) => name !== undefined);

beforeAll(async () => void (await startBackend('wasm')));
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mixsga-hub-'));
  for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_HOME', home);
  files = new Map(OTHERS.map((name) => [name, new TextEncoder().encode('x'.repeat(2000))]));
  for (const name of READ) files.set(name, await readFile(join(fixture, name)));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  await rm(home, { recursive: true });
});

it('generates what transformers does', async () => {
  await serve();
  const { prompt, promptIds, ids, text } = JSON.parse(await readFile(join(fixture, 'expected.json'), 'utf8')) as {
    prompt: string; promptIds: number[]; ids: number[]; text: string;
  };
  const { decoder, tokenizer, stopTokens } = await fromPretrained('facebook/opt-125m');
  expect(tokenizer.encode(prompt)).toEqual(promptIds);
  const generated = await generateText(decoder, tokenizer, prompt, { maxNewTokens: ids.length, stopTokens });
  expect(generated.tokens).toEqual(ids);
  expect(generated.text).toBe(text);
  expect([...new Set(fetched())].sort()).toEqual(READ);
  decoder.dispose();
});

it.each([
  ['without a tokenizer', ['vocab.json'], 'facebook/opt-125m: expected a tokenizer: tokenizer.json, or vocab.json and merges.txt as GPT-2 has; got merges.txt alone'],
  ['without weights', ['pytorch_model.bin'], 'expected weights in one of model.safetensors'],
])('%s fetches nothing', async (_, missing, message) => {
  for (const name of missing) files.delete(name);
  await serve();
  await expect(fromPretrained('facebook/opt-125m')).rejects.toThrow(message);
  expect(fetched()).toEqual([]);
});

it.each([
  ['config.json', '{"model_type": "mamba"}', 'config.json: unknown model_type "mamba"; expected one of'],
  ['merges.txt', '#version: 0.2\nt h e', 'merges.txt: line 2: expected two tokens'],
])('fetches no weights when %s cannot be read', async (name, content, message) => {
  files.set(name, new TextEncoder().encode(content));
  await serve();
  await expect(fromPretrained('facebook/opt-125m')).rejects.toThrow(message);
  expect(fetched()).not.toContain('pytorch_model.bin');
});
