import { ByteFallbackDecoder, SequenceDecoder, Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { ArgumentError, FileError } from '@mixsga/backend';
import { folderFiles } from './io/checkpoint-files';
import { readFileText } from './io/fs';
import { parseJson, readTokenizerFiles } from './tokenizers/tokenizer-files';

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
   * become U+FFFD. (For byte fallback, as in Llama 2 and Gemma, Python's tokenizers give up the whole characters beside such
   * bytes too; here a character once whole stays.)
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
 * Reads a tokenizer (Node).
 * @param path a tokenizer.json, or a folder that holds one, or vocab.json and merges.txt as GPT-2 has
 * @throws FileError when it is missing or malformed
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (path.endsWith('.json')) return createTokenizer(parseJson(await readFileText(path), path), path);
  const { json, where } = await readTokenizerFiles(await folderFiles(path));
  return createTokenizer(json, where);
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
      tokenizer.encode(text.replace(LONE_SURROGATE, '\ufffd'), { add_special_tokens: addSpecialTokens }).ids,
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

const LONE_SURROGATE = /\p{Surrogate}/gu;

function parse(json: unknown, where: string): HuggingFaceTokenizer {
  if (typeof json !== 'object' || json === null) {
    throw new FileError(where, `expected a tokenizer.json object, got ${String(json)}`);
  }
  try {
    const preTokenizer = (json as Component).pre_tokenizer;
    const tokenizer = new HuggingFaceTokenizer({ ...json, pre_tokenizer: asInPython(preTokenizer as Component | null) }, {});
    keepByteOrderMarks(tokenizer.decoder);
    return tokenizer;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new FileError(where, `expected a tokenizer.json of Hugging Face tokenizers: ${problem}`, { cause: error });
  }
}

type Component = Readonly<Record<string, unknown>>;

/** How GPT-2 splits a text into words. */
const GPT_2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * A pre-tokenizer that splits as Python's does. The library's own patterns take `\d` and `\s` as JavaScript does, where a
 * numeral such as ½ is no digit, U+FEFF is a space and U+0085 is none; those of a `Split` it translates.
 */
function asInPython(preTokenizer: Component | null): unknown {
  const split = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });
  switch (preTokenizer?.type) {
    case 'Sequence':
      return { ...preTokenizer, pretokenizers: (preTokenizer.pretokenizers as Component[]).map(asInPython) };
    case 'Digits':
      return split(preTokenizer.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'ByteLevel':
      if (preTokenizer.use_regex === false || preTokenizer.add_prefix_space) return preTokenizer;
      return { type: 'Sequence', pretokenizers: [split(GPT_2_WORDS), { ...preTokenizer, use_regex: false }] };
    default:
      return preTokenizer;
  }
}

/** The library would drop U+FEFF at the beginning of bytes. */
function keepByteOrderMarks(decoder: unknown): void {
  if (decoder instanceof SequenceDecoder) decoder.decoders.forEach(keepByteOrderMarks);
  if (decoder instanceof ByteFallbackDecoder) decoder.text_decoder = new TextDecoder('utf-8', { ignoreBOM: true });
}
