import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { ArgumentError, FileError } from '@mixsga/backend';
import { readFileText } from './io/fs';

/** Text to token ids and back, by a tokenizer.json of Hugging Face tokenizers. */
export interface Tokenizer {
  /** One above the largest token id: the least vocabulary that a model of this tokenizer needs. */
  readonly vocabularySize: number;

  /**
   * The ids that the tokenizer.json gives. A lone surrogate counts as U+FFFD.
   * @param addSpecialTokens whether to put what the post-processor adds around a text (OPT: BOS); default true
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];

  /**
   * The text of any run of ids. Bytes that are not UTF-8, as where a run begins or ends inside a character,
   * become U+FFFD.
   * @param skipSpecialTokens whether to leave out special tokens; default false
   * @throws ArgumentError when an id is not in the vocabulary
   */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;

  /** The id of a token such as `</s>`, or undefined. */
  tokenId(token: string): number | undefined;

  /** The text of its tokenizer.json. */
  save(): string;
}

/**
 * Reads a tokenizer.json.
 * @param path the file, or a folder that holds one under this name
 * @throws FileError when it is missing or malformed
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const file = path.endsWith('.json') ? path : `${path}/tokenizer.json`;
  const text = await readFileText(file);
  try {
    return createTokenizer(JSON.parse(text), file);
  } catch (error) {
    if (error instanceof SyntaxError) throw new FileError(file, `expected JSON: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * A tokenizer of a parsed tokenizer.json.
 * @param where the file's path, for error messages
 * @throws FileError when it is malformed
 */
export function createTokenizer(json: unknown, where = 'tokenizer.json'): Tokenizer {
  const tokenizer = parse(json, where);
  const ids = new Set(tokenizer.get_vocab().values());
  const vocabularySize = [...ids].reduce((size, id) => Math.max(size, id + 1), 0);

  return {
    vocabularySize,
    encode: (text, { addSpecialTokens = true } = {}) =>
      tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    decode(tokenIds, { skipSpecialTokens = false } = {}) {
      const run = Array.from(tokenIds);
      const unknown = run.find((id) => !ids.has(id));
      if (unknown !== undefined) {
        throw new ArgumentError(`decode: expected token ids below ${vocabularySize}, got ${unknown}; is it this model's tokenizer?`);
      }
      if (run.length === 0) return '';
      // Hugging Face's Python tokenizers leave spaces as they are; the library would remove some by default.
      return tokenizer.decode(run, { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false });
    },
    tokenId: (token) => tokenizer.token_to_id(token),
    save: () => JSON.stringify(json),
  };
}

function parse(json: unknown, where: string): HuggingFaceTokenizer {
  if (typeof json !== 'object' || json === null) {
    throw new FileError(where, `expected a tokenizer.json object, got ${String(json)}`);
  }
  try {
    return new HuggingFaceTokenizer(json, {});
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new FileError(where, `expected a tokenizer.json of Hugging Face tokenizers: ${problem}`, { cause: error });
  }
}
