import { ArgumentError, expectOptions, FileError } from '@mixsga/backend';
import { folderFiles } from '../io/checkpoint-files';
import { readFileText } from '../io/fs';
import { createPipeline } from './pipeline';
import { atOnce, inTurns, type TurnOptions } from './steps';
import { MAX_TOKENIZER_BYTES, parseJson, readTokenizerFiles } from './tokenizer-files';

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
   * The same ids, for a text of any length: others have their turn meanwhile, about every tenth of a second.
   * @throws the signal's reason
   */
  encodeLong(text: string, options?: { readonly addSpecialTokens?: boolean } & TurnOptions): Promise<number[]>;

  /**
   * The text of any run of ids. Bytes that are not UTF-8, as where a run begins or ends inside a character,
   * become U+FFFD. (For byte fallback, as in Llama 2 and Gemma, Python's tokenizers give up the whole characters beside such
   * bytes too; here a character once whole stays.) An id without a token is no text, as in a vocabulary that a model pads.
   * @param skipSpecialTokens whether to leave out special tokens; default false
   * @throws ArgumentError when an id is not a whole number from 0
   */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;

  /** The id of a token such as `</s>`, or undefined. */
  tokenId(token: string): number | undefined;

  /** The text of its tokenizer.json. */
  save(): string;
}

/**
 * Reads a tokenizer (Node).
 * @param path a tokenizer.json, or a folder that holds one, or vocab.json and merges.txt as GPT-2 has
 * @throws FileError when it is missing or malformed
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (path.endsWith('.json')) return createTokenizer(parseJson(await readFileText(path, MAX_TOKENIZER_BYTES), path), path);
  const { json, where } = await readTokenizerFiles(await folderFiles(path));
  return createTokenizer(json, where);
}

/**
 * A tokenizer of a parsed tokenizer.json.
 * @param where the file's path, for error messages
 * @throws FileError when it is malformed
 */
export function createTokenizer(json: unknown, where = 'tokenizer.json'): Tokenizer {
  const pipeline = createPipeline(json, where);
  return {
    vocabularySize: pipeline.size,
    encode(text, options = {}) {
      expectOptions('encode', options, { addSpecialTokens: true });
      return atOnce(pipeline.encode(text, options.addSpecialTokens ?? true));
    },
    async encodeLong(text, options = {}) {
      expectOptions('encodeLong', options, { addSpecialTokens: true, signal: true, onProgress: true });
      const { addSpecialTokens = true, ...work } = options;
      return inTurns(pipeline.encode(text, addSpecialTokens), work);
    },
    decode(tokenIds, options = {}) {
      expectOptions('decode', options, { skipSpecialTokens: true });
      const ids = Array.from(tokenIds);
      const none = ids.find((id) => !Number.isInteger(id) || id < 0);
      if (none !== undefined) throw new ArgumentError(`decode: expected token ids, whole numbers from 0, got ${none}`);
      return pipeline.decode(ids, options.skipSpecialTokens ?? false);
    },
    tokenId: pipeline.tokenId,
    save: () => JSON.stringify(json),
  };
}

/**
 * Checks that a model has an embedding for each token of its tokenizer. (It may have more: OPT has 7.)
 * @param vocabularySize the model's `vocab_size`
 * @param where the path of the tokenizer.json
 * @throws FileError when it has fewer
 */
export function expectTokenizerFits(tokenizer: Pick<Tokenizer, 'vocabularySize'>, vocabularySize: number, where: string): void {
  if (tokenizer.vocabularySize <= vocabularySize) return;
  throw new FileError(
    where,
    `expected at most ${vocabularySize} tokens, the model's vocab_size, got ${tokenizer.vocabularySize}; is it this model's tokenizer?`,
  );
}
