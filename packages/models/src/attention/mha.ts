import { UNGROUPED, type AttentionKind } from './variant';

/** Multi-head attention, or whatever grouping the model was published with: unmodified. */
export const mha: AttentionKind = {
  form: 'mha',
  example: 'mha',
  description: 'the unmodified model',
  parse: (parameters) =>
    parameters === null
      ? {
          spec: 'mha',
          kvBudget: 1,
          experts: null,
          ...UNGROUPED,
          storedKvHeads: (kvHeads) => kvHeads,
          kvSource: (layer) => layer,
          validate: () => undefined,
        }
      : null,
};
