import type { FixtureName } from './fixture';

/** The attention variants for which a fixture has what the reference makes of it. */
export const variants: readonly (readonly [FixtureName, attention: string])[] = [
  ['opt', 'mixsga:3:1:6'], ['opt', 'gqa:2'], ['opt', 'cla:2'],
  ['llama', 'mixsga:3:1:6'], ['llama', 'gqa:2'], ['llama', 'cla:2'],
  ['llama-3-heads', 'mixsga:1:1@1,3'],
  ['gemma2', 'mixsga:3:1:6'], ['gemma2', 'gqa:2'], ['gemma2', 'cla:3'],
];
