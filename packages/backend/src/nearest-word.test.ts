import { expect, it } from 'vitest';
import { nearestWord } from './nearest-word';

it.each<[string, string[], string | undefined]>([
  ['max_new_tokens', ['maxTokens', 'maxNewTokens'], 'maxNewTokens'],
  ['WASM', ['wasm', 'webgpu'], 'wasm'],
  ['wsam', ['cpu', 'wasm'], 'wasm'],
  ['perplexty', ['perplexity', 'routing'], 'perplexity'],
  ['own', ['opt', 'llama'], undefined],
  ['opx', ['opt', 'llama'], 'opt'],
  ['organisation/other', ['organisation/model'], 'organisation/model'],
  ['organisation/another', ['organisation/model'], 'organisation/model'],
  ['somebody/another', ['organisation/model'], undefined],
  ['x', [], undefined],
])('%s among %j', (word, candidates, nearest) => {
  expect(nearestWord(word, candidates)).toBe(nearest);
});
