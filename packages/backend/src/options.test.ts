import { describe, expect, test } from 'vitest';
import { ArgumentError } from './errors';
import { expectOptions, type OptionNames } from './options';

interface Options {
  readonly attention?: string;
  readonly maxNewTokens?: number;
  readonly topK?: number;
  readonly sampling?: 'greedy' | { readonly seed?: number } | readonly { readonly seed?: number }[] | (() => void) | null;
}

const NAMES: OptionNames<Options> = { attention: true, maxNewTokens: true, topK: true, sampling: { seed: true } };
// @ts-expect-error a name is missing
const _SOME: OptionNames<Options> = { attention: true, maxNewTokens: true, sampling: true };
// @ts-expect-error a name is too many
const _MORE: OptionNames<Options> = { attention: true, maxNewTokens: true, topK: true, sampling: true, topP: true };
// @ts-expect-error and so in options within options
const _NESTED: OptionNames<Options> = { attention: true, maxNewTokens: true, topK: true, sampling: { sead: true } };

describe('expectOptions', () => {
  const all = 'expected attention, maxNewTokens, topK, sampling';
  test.each([
    ['atention', 'did you mean attention?'], ['max_new_tokens', 'did you mean maxNewTokens?'], ['top_k', 'did you mean topK?'], ['topk', 'did you mean topK?'],
    ['maxTokens', 'did you mean maxNewTokens?'], ['max-new-tokens', 'did you mean maxNewTokens?'], ['seed', all], ['toString', all], ['__proto', all],
  ])('has no option %s: %s', (name, advice) => {
    const check = () => expectOptions<Options>('f', { topK: 1, [name]: undefined }, NAMES);
    expect(check).toThrow(ArgumentError);
    expect(check).toThrow(new ArgumentError(`f: there is no option "${name}"; ${advice}`));
  });

  test('has none within an option either', () => {
    for (const sampling of [{ sead: 1 } as object, [{}, { sead: 1 } as object]]) {
      const check = () => expectOptions<Options>('f', { sampling }, NAMES);
      expect(check).toThrow(new ArgumentError('f: sampling: there is no option "sead"; did you mean seed?'));
    }
  });

  test('takes all that there are, and none', () => {
    expectOptions<Options>('f', { attention: 'mha', maxNewTokens: 1, topK: undefined, sampling: { seed: 1 } }, NAMES);
    for (const sampling of ['greedy', null, undefined, [], [{ seed: 1 }], () => undefined] as const) expectOptions<Options>('f', { sampling }, NAMES);
    expectOptions<Options>('f', undefined, NAMES);
  });
});
