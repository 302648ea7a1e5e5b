import { expect, it } from 'vitest';
import type { KvFormat } from '../format';
import { storedGroups } from '../grouped/stored';
import type { LayerSetting } from '../layer-attention';
import { MeaningAttention } from './layer';

it('needs the meaning of coarser forms', () => {
  const format = storedGroups({ kvHeads: 2, headDim: 1, groupSize: 1 }) as KvFormat;
  const create = (formats: readonly KvFormat[]) => () => new MeaningAttention({ formats } as unknown as LayerSetting);
  expect(create([format])).toThrow('format grouped:1: expected meaningOf, by which tokens of its coarser forms are read back, got none');
  expect(create([{ ...format, meaningOf: () => format }])).not.toThrow();
  const { coarser: _, ...evicted } = format;
  expect(create([evicted])).not.toThrow();
});
