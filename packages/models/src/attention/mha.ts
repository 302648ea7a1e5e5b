import { groupedFormats } from './grouped';
import type { AttentionKind } from './variant';

/** Multi-head attention, or whatever grouping the model was published with: unmodified. */
export const mha: AttentionKind = {
  form: 'mha',
  example: 'mha',
  description: 'the unmodified model',
  parse: (parameters) =>
    parameters === null
      ? {
          spec: 'mha',
          kvShare: 1,
          experts: null,
          formats: groupedFormats([1]),
          storedKvHeads: (kvHeads) => kvHeads,
          kvSource: (layer) => layer,
          validate: () => undefined,
        }
      : null,
};
