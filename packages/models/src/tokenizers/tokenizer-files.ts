// Which files a tokenizer is made of, and their content as a tokenizer.json.
import { FileError } from '@mixsga/backend';
import { readConfig, readFile, type CheckpointFiles } from '../io/checkpoint-files';
import { decodeUtf8 } from '../io/fs';
import type { JsonValue } from '../io/json';
import { conversionAdvice, slowGpt2Tokenizer, type NamedContent } from './slow-gpt2';

/** That of Gemma has 34 MB. */
export const MAX_TOKENIZER_BYTES = 2 ** 27;

const SETTINGS = ['tokenizer_config.json', 'special_tokens_map.json'];
const SLOW_GPT_2 = ['vocab.json', 'merges.txt'];

/** Files of tokenizers that are not read, and what they are. */
const OTHERS: readonly [name: RegExp, kind: string][] = [
  [/^(tokenizer|spiece|sentencepiece(\.bpe)?)\.model$/, 'a SentencePiece model'],
  [/^tekken\.json$/, 'a tekken vocabulary'],
  [/\.tiktoken$|^tokenizer\.model\.v\d+/, 'a tiktoken vocabulary'],
  [/^vocab\.txt$/, 'a WordPiece vocabulary'],
  [/^vocab\.json$|^merges\.txt$/, 'half a GPT-2 tokenizer'],
];

/**
 * The files that a tokenizer needs, of those that a model has: what to fetch, and to look at before its weights.
 * @param names of all files of the model
 * @param where path or address of the model, for error messages
 * @throws FileError when there is no tokenizer that can be read: it says what was found, and what to do
 */
export function tokenizerFiles(names: readonly string[], where: string): string[] {
  const present = (...wanted: string[]) => wanted.filter((name) => names.includes(name));
  if (names.includes('tokenizer.json')) return present('tokenizer.json', ...SETTINGS);
  if (SLOW_GPT_2.every((name) => names.includes(name))) return present(...SLOW_GPT_2, ...SETTINGS, 'added_tokens.json');
  const expected = 'expected a tokenizer: tokenizer.json, or vocab.json and merges.txt as GPT-2 has';
  for (const [pattern, kind] of OTHERS) {
    const found = names.find((name) => pattern.test(name));
    if (found !== undefined) throw new FileError(where, `${expected}; got ${found} alone, ${kind}; ${conversionAdvice(`${where}/`)}`);
  }
  throw new FileError(where, `${expected}; got none`);
}

/** A tokenizer as it is published. */
export interface TokenizerContent {
  /** tokenizer.json, or what stands for it. */
  readonly json: unknown;
  /** tokenizer_config.json; null when there is none. */
  readonly config: JsonValue;
  /** Path or address of the file that the tokens are from, for error messages. */
  readonly where: string;
}

/**
 * Reads a tokenizer.json, or makes one of the files of a slow GPT-2 tokenizer.
 * @throws FileError as {@link tokenizerFiles}, or when a file is malformed
 */
export async function readTokenizerFiles(files: CheckpointFiles): Promise<TokenizerContent> {
  const names = tokenizerFiles(files.names, files.where);
  const config = await readConfig(files, 'tokenizer_config.json');
  const [main] = names as [string];
  const where = files.path(main);
  if (main === 'tokenizer.json') return { json: (await jsonFile(files, main)).content, config, where };
  const optional = async (name: string) => ({ content: await readConfig(files, name), where: files.path(name) });
  const json = slowGpt2Tokenizer({
    vocabulary: await jsonFile(files, 'vocab.json'),
    merges: await textFile(files, 'merges.txt'),
    config: { content: config, where: files.path('tokenizer_config.json') },
    specialTokensMap: await optional('special_tokens_map.json'),
    addedTokens: await optional('added_tokens.json'),
  });
  return { json, config, where };
}

async function textFile(files: CheckpointFiles, name: string): Promise<NamedContent<string>> {
  const where = files.path(name);
  return { content: decodeUtf8(await readFile(files, name, MAX_TOKENIZER_BYTES), where), where };
}

async function jsonFile(files: CheckpointFiles, name: string): Promise<NamedContent<unknown>> {
  const { content, where } = await textFile(files, name);
  return { content: parseJson(content, where), where };
}

/** @throws FileError when the text is not JSON */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new FileError(where, `expected JSON: ${(error as Error).message.replaceAll('\n', ' ')}`, { cause: error });
  }
}
