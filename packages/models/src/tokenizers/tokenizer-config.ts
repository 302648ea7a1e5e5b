// tokenizer_config.json of a saved model, without which Python takes special tokens for the model's that are not.
import { FileError } from '@mixsga/backend';
import { createTokenizer } from './tokenizer';

type Json = Readonly<Record<string, unknown>>;

const ROLES = ['bos_token', 'eos_token', 'pad_token'] as const;

/**
 * The files beside a model, with a tokenizer_config.json where there is a tokenizer.json and none yet: AutoTokenizer of
 * transformers 4 and 5 then gives the ids of the tokenizer.json, and has the special tokens of the model's config.json.
 * @param config of the model
 */
export function withTokenizerConfig(files: ReadonlyMap<string, Uint8Array | string>, config: Json): ReadonlyMap<string, Uint8Array | string> {
  const content = files.get('tokenizer.json');
  if (content === undefined || files.has('tokenizer_config.json')) return files;
  const made = tokenizerConfig(typeof content === 'string' ? content : new TextDecoder().decode(content), config);
  return made ? new Map([...files, ['tokenizer_config.json', `${JSON.stringify(made, null, 2)}\n`]]) : files;
}

/** Null for what is no tokenizer.json. */
function tokenizerConfig(text: string, config: Json): Json | null {
  let json: { added_tokens?: readonly { id: number; content: string }[]; model: { vocab: Readonly<Record<string, number>>; unk_token?: string | null } };
  let first: number | undefined;
  try {
    json = JSON.parse(text) as typeof json;
    [first] = createTokenizer(json).encode('');
  } catch (error) {
    if (FileError.isInstance(error) || error instanceof SyntaxError) return null;
    throw error;
  }
  const tokenOf = (id: number) =>
    json.added_tokens?.find((token) => token.id === id)?.content ?? Object.entries(json.model.vocab).find(([, each]) => each === id)?.[0];
  const ids = ROLES.map((role) => [config[`${role}_id`] ?? []].flat()[0] as number | undefined);
  const tokens = ROLES.map((role, i) => [role, ids[i] === undefined ? null : (tokenOf(ids[i]) ?? null)] as const);
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...Object.fromEntries(tokens),
    unk_token: json.model.unk_token ?? null,
    add_bos_token: first !== undefined && first === ids[0],
    clean_up_tokenization_spaces: false,
    ...(typeof config.max_position_embeddings === 'number' ? { model_max_length: config.max_position_embeddings } : {}),
  };
}
