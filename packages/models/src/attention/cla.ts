import { ArgumentError } from '@mixsga/backend';
import { groupedFormats } from './grouped';
import { parseCount } from './parse-count';
import type { AttentionKind } from './variant';

/** Cross-layer attention (Brandon et al. 2024): runs of layers share the keys and values of the first. */
export const cla: AttentionKind = {
  form: 'cla:LAYERS',
  example: 'cla:2',
  description: 'each run of that many layers shares the keys and values of its first',
  parse(parameters) {
    const share = parseCount(parameters);
    if (share === null) return null;
    return {
      spec: `cla:${share}`,
      kvShare: 1 / share,
      experts: null,
      formats: groupedFormats([1]),
      storedKvHeads: (kvHeads) => kvHeads,
      kvSource: (layer) => layer - (layer % share),
      validate({ layers }) {
        if (layers % share === 0) return;
        const divisors = Array.from({ length: layers }, (_, i) => i + 1).filter((n) => layers % n === 0);
        throw new ArgumentError(
          `cla:${share}: expected a divisor of the ${layers} layers, got ${share}; use one of ${divisors.join(', ')}`,
        );
      },
    };
  },
};
