// Tiny checkpoints with what Hugging Face transformers makes of them: see tools/make_parity_fixtures.py.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { matchTensors } from '../checkpoints/checkpoint';
import { parseModelConfig } from '../families/index';
import { storedParameters } from '../checkpoints/stored-parameters';
import { folderFiles, openTensors } from '../io/checkpoint-files';
import { openFile } from '../io/byte-source';
import type { ParameterSource } from '../io/parameter-source';
import { openSafetensors } from '../io/safetensors-source';

export const fixtures = [
  'opt', 'opt-post-norm', 'llama', 'llama-3', 'llama-3-heads', 'llama-biases', 'gemma2', 'gemma3', 'qwen3', 'qwen3-window', 'olmo2',
] as const;
export type FixtureName = (typeof fixtures)[number];

interface Golden {
  /** Token ids of a prompt, and what the reference takes as the likeliest after it, one by one. */
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  /** A text that the reference took padded on the left, in a batch with a longer one. */
  readonly padded?: readonly number[];
  /** By attention variant: the same, with experts by layer and token of prompt and continuation. */
  readonly variants?: Readonly<Record<string, { readonly greedy: readonly number[]; readonly experts?: readonly (readonly number[])[] }>>;
}

export interface Fixture {
  /** The parsed config.json, as published. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly golden: Golden;
  /** The checkpoint's tensors, and those of routers where there are any. */
  readonly source: ParameterSource;
  /** A tensor of the reference, [rows, width] as rows. */
  reference(name: string): Promise<Float32Array[]>;
}

/** At a fixed distance of positions, from the last of the first such stretch on, the reference's hidden states are recorded. */
export const EVERY = 4;

/** To be called in a test, at whose end its files are closed. */
export async function readFixture(name: FixtureName): Promise<Fixture> {
  const folder = fileURLToPath(new URL(`../fixtures/parity/${name}`, import.meta.url));
  const json = async (file: string): Promise<unknown> => JSON.parse(await readFile(`${folder}/${file}`, 'utf8'));
  const files = await folderFiles(folder);
  const config = (await json('config.json')) as Fixture['config'];
  const tensors = await openTensors(files);
  const stored = matchTensors(tensors, storedParameters(parseModelConfig(config, `${folder}/config.json`)));
  const open = async (file: string) => openSafetensors(await openFile(`${folder}/${file}`));
  const routers = files.names.includes('routers.safetensors') ? await open('routers.safetensors') : null;
  const reference = await open('golden.safetensors');
  onTestFinished(async () => {
    for (const source of [tensors, routers, reference]) await source?.close();
  });
  return {
    config,
    golden: (await json('golden.json')) as Golden,
    source: {
      has: (name) => stored.has(name) || routers?.has(name) === true,
      read: (name) => (routers?.has(name) ? routers.read(name) : tensors.read(stored.get(name) ?? name)),
    },
    async reference(tensor) {
      const values = await reference.read(tensor);
      const [rows, width] = reference.tensors.get(tensor)!.shape as [number, number];
      return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
    },
  };
}

/** A batch that PyTorch trained on: see tools/make_training_fixtures.py. */
export interface TrainingFixture extends Readonly<Record<'inputs' | 'targets' | 'mask', number[][]>> {
  readonly optimizer: Readonly<Record<'learningRate' | 'beta1' | 'beta2' | 'epsilon' | 'weightDecay', number>>;
  /** Before each step of AdamW. */
  readonly losses: readonly number[];
  /** Of the first step, by parameter. */
  readonly gradientNorms: Readonly<Record<string, number>>;
}

export async function readTrainingFixture(name: FixtureName): Promise<TrainingFixture> {
  const path = fileURLToPath(new URL(`../fixtures/parity/${name}/training.json`, import.meta.url));
  return JSON.parse(await readFile(path, 'utf8')) as TrainingFixture;
}
