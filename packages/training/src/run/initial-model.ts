import { familyNamed } from '@mixsga/models';
import type { InitialModel } from '../config/run-config';

/** The ids of OPT, which the tokenizers trained here have too. */
const SPECIAL_TOKENS = { bos_token_id: 2, eos_token_id: 2, pad_token_id: 1 };

/** A model to start anew as a config.json of Hugging Face. Heads are tied to the embeddings in every family. */
export function initialConfig({ family, kvHeads, ...sizes }: InitialModel, vocabularySize: number): Record<string, unknown> {
  return { model_type: family, ...familyNamed(family).sized({ ...sizes, kvHeads: kvHeads ?? sizes.heads, vocabularySize }), ...SPECIAL_TOKENS };
}
