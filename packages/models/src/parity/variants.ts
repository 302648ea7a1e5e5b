import { type FixtureName, fixtures } from './fixture';

/** The attention variants for which a fixture has what the reference makes of it. */
export const variants: readonly (readonly [FixtureName, attention: string])[] = [
  ['opt', 'mixsga:3:1:6'], ['opt', 'gqa:2'], ['opt', 'cla:2'],
  ['llama', 'mixsga:3:1:6'], ['llama', 'gqa:2'], ['llama', 'cla:2'],
  ['llama-3-heads', 'mixsga:1:1@1,3'],
  ['gemma2', 'mixsga:3:1:6'], ['gemma2', 'gqa:2'], ['gemma2', 'cla:3'],
  ['gemma3', 'mixsga:3:1:6'], ['gemma3', 'gqa:2'], ['gemma3', 'cla:3'],
  ['qwen3', 'mixsga:3:1:6'], ['qwen3', 'gqa:2'], ['qwen3', 'cla:2'],
  ['olmo2', 'mixsga:3:1:6'], ['olmo2', 'gqa:2'], ['olmo2', 'cla:2'],
];

/** A sample of each, for backends where a CPU plays the GPU. */
export const sample = {
  // What is peculiar to those left out, others have in part.
  fixtures: fixtures.filter((name) => name !== 'qwen3-window' && name !== 'llama-3'),
  variants: variants.filter(([name, attention]) => name === 'gemma2' || (name !== 'qwen3' && attention.startsWith('mixsga'))),
} as const;
