/** The models of the paper by the short names of presets. */
export const paperModels = {
  'opt-125m': { name: 'OPT-125m', id: 'facebook/opt-125m' },
  /** The paper's OPT-355m: the hub has this model under 350m. */
  'opt-355m': { name: 'OPT-355m', id: 'facebook/opt-350m' },
  'llama-3.2-1b': { name: 'Llama3.2-1B', id: 'meta-llama/Llama-3.2-1B' },
  'llama-3.2-3b': { name: 'Llama3.2-3B', id: 'meta-llama/Llama-3.2-3B' },
  'llama-3.1-8b': { name: 'Llama3.1-8B', id: 'meta-llama/Llama-3.1-8B' },
  'gemma-2-2b': { name: 'Gemma2-2B', id: 'google/gemma-2-2b' },
  /** Choice: of TinyLlama's published checkpoints the last base model, after 3 trillion tokens. */
  tinyllama: { name: 'TinyLlama-1.1B', id: 'TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T' },
} as const;

export type PaperModel = keyof typeof paperModels;

/** A preset for each of some models: `paper/sft-opt-125m`. */
export function forModels<T>(prefix: string, models: readonly PaperModel[], make: (model: (typeof paperModels)[PaperModel], key: PaperModel) => T): Record<string, T> {
  return Object.fromEntries(models.map((key) => [`paper/${prefix}-${key}`, make(paperModels[key], key)]));
}
