import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import { harnessSample } from './sample';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('a sample', () => {
  it('has hashes of the document as Python prints it with an indent of 2, of the prompt and of the target', async () => {
    const sample = await harnessSample(3, { a: [1, 'é'] }, 'right', [['prompt', ' x'], ['other', ' y']], [['-1.0', 'True']], ['acc']);
    expect(sample).toEqual({
      doc_id: 3,
      doc: { a: [1, 'é'] },
      target: 'right',
      arguments: { gen_args_0: { arg_0: 'prompt', arg_1: ' x' }, gen_args_1: { arg_0: 'other', arg_1: ' y' } },
      resps: [[['-1.0', 'True']]],
      filtered_resps: [['-1.0', 'True']],
      filter: 'none',
      metrics: ['acc'],
      doc_hash: sha256('{\n  "a": [\n    1,\n    "é"\n  ]\n}'),
      prompt_hash: sha256('prompt'),
      target_hash: sha256('right'),
    });
  });
});
