import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open, readFile, rmdir, stat } from 'node:fs/promises';
import { endianness, tmpdir } from 'node:os';
import { join } from 'node:path';

import type { FileError } from '@mixsga/backend';
import { makeFolder, temporaryPath, writeDirectoryAtomic, writeSynced } from '@mixsga/models';
import { z } from 'zod';

import type { TokenStream } from './batch-sampler';
import type { Corpus } from './corpus';
import { textEncoder, type TextTokenizer } from './encode';
import { MAXIMUM_BYTES } from './files';
import { DOCUMENT_SEPARATOR, PART_NAMES, type Parts } from './split';

const CACHE_FOLDER = '.mixsga-cache';

/** The token ids of a corpus. */
export interface TokenizedCorpus {
  /** In memory, or of a large corpus in its file. */
  readonly train: TokenStream;
  readonly validation: Int32Array;
  readonly test: Int32Array;
  /** One line for people: how much it is, how it was split, how many rows were left out. */
  readonly description: string;
  /** Closes the file. */
  close(): void;
}

export interface TokenizeOptions {
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the corpus that are encoded. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const counts = z.strictObject({ train: z.number(), validation: z.number(), test: z.number() });
const summarySchema = z.strictObject({
  format: z.literal(2),
  tokens: counts,
  documents: counts,
  characters: counts,
  /** Rows that were broken and left out. */
  skipped: z.number(),
  /** Of each part's file. */
  sha256: z.strictObject({ train: z.string(), validation: z.string(), test: z.string() }),
});
type Summary = z.output<typeof summarySchema>;

/**
 * The token ids of each part of a corpus. The documents of a part are joined by a blank line, with no special token between them, as
 * windowed token perplexity is defined.
 *
 * The ids are kept in `cacheFolder`, in a folder for this corpus and tokenizer that appears whole: `train.bin`, `validation.bin` and
 * `test.bin` (int32, little-endian) and `summary.json`. A damaged one is made anew.
 *
 * @throws FileError when the corpus is broken or too small, or the disk full; the signal's reason when it is aborted
 */
export async function tokenizeCorpus(
  corpus: Corpus,
  tokenizer: TextTokenizer,
  { cacheFolder = CACHE_FOLDER, ...options }: TokenizeOptions = {},
): Promise<TokenizedCorpus> {
  const key = createHash('sha256').update(`${corpus.fingerprint} ${tokenizer.save()}`).digest('hex').slice(0, 32);
  const name = `tokens-${key}`;
  const cached = await readTokens(corpus.name, join(cacheFolder, name));
  if (cached !== null) return cached;
  const folder = join(await writableFolder(cacheFolder), name);
  await writeDirectoryAtomic(folder, async (temporary) => {
    const summary = await encodeInto(temporary, corpus, tokenizer, options);
    await writeSynced(join(temporary, 'summary.json'), `${JSON.stringify(summary)}\n`);
  });
  return (await readTokens(corpus.name, folder))!;
}

/** The cache folder, or where it cannot be written one that ends with the process: without the cache the next run takes longer, no more. */
async function writableFolder(cacheFolder: string): Promise<string> {
  try {
    await makeFolder(cacheFolder);
    const probe = await temporaryPath(join(cacheFolder, 'probe'));
    await mkdir(probe);
    await rmdir(probe);
    return cacheFolder;
  } catch {
    const folder = await mkdtemp(join(tmpdir(), 'mixsga-cache-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }
}

/** Characters of documents that are encoded at a time; a corpus of fewer as one text. */
const BLOCK_CHARACTERS = 2 ** 20;

async function encodeInto(
  folder: string,
  corpus: Corpus,
  tokenizer: TextTokenizer,
  { signal, onProgress }: TokenizeOptions,
): Promise<Summary> {
  const encode = textEncoder(tokenizer);
  const writers = {} as Parts<PartWriter>;
  let skipped = 0;
  let bytes = 0;
  try {
    for (const part of PART_NAMES) writers[part] = new PartWriter(await open(join(folder, `${part}.bin`), 'wx'), (text) => encode(text, signal));
    const onSkip = (_: FileError): number => skipped++;
    for await (const { part, text } of corpus.documents({ signal, onSkip, onBytes: (more) => (bytes += more) })) {
      if (await writers[part].add(text)) onProgress?.(bytes);
    }
    for (const part of PART_NAMES) await writers[part].finish();
  } finally {
    for (const part of PART_NAMES) await (writers[part] as PartWriter | undefined)?.file.close();
  }
  const of = <T>(pick: (writer: PartWriter) => T): Parts<T> => ({
    train: pick(writers.train),
    validation: pick(writers.validation),
    test: pick(writers.test),
  });
  return {
    format: 2,
    tokens: of(({ tokens }) => tokens),
    documents: of(({ documents }) => documents),
    characters: of(({ characters }) => characters),
    skipped,
    sha256: of(({ hash }) => hash.digest('hex')),
  };
}

/** Writes the ids of a part's documents, a block at a time. */
class PartWriter {
  readonly hash: Hash = createHash('sha256');
  tokens = 0;
  documents = 0;
  characters = 0;
  #block: string[] = [];
  #blockCharacters = 0;

  constructor(
    readonly file: FileHandle,
    private readonly encode: (text: string) => Promise<Int32Array>,
  ) {}

  /** @returns whether a block was written */
  async add(text: string): Promise<boolean> {
    // The first block begins with its first document, every later one with the blank line before it.
    if (this.documents++ > 0 && this.#block.length === 0) this.#block.push('');
    this.#block.push(text);
    this.characters += text.length;
    this.#blockCharacters += text.length;
    if (this.#blockCharacters < BLOCK_CHARACTERS) return false;
    await this.finish();
    return true;
  }

  async finish(): Promise<void> {
    const ids = littleEndian(await this.encode(this.#block.join(DOCUMENT_SEPARATOR)));
    this.#block = [];
    this.#blockCharacters = 0;
    const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
    this.tokens += ids.length;
    this.hash.update(bytes);
    await this.file.writeFile(bytes);
  }
}

/** What a folder of the cache holds, or null when there is none or it is damaged. */
async function readTokens(name: string, folder: string): Promise<TokenizedCorpus | null> {
  const text = await readFile(join(folder, 'summary.json'), 'utf8').catch(() => '');
  const { data: summary } = summarySchema.safeParse(text.startsWith('{') && text.endsWith('}\n') ? JSON.parse(text) : null);
  if (!summary) return null;
  const pathOf = (part: keyof Summary['tokens']) => join(folder, `${part}.bin`);
  const read = async (part: keyof Summary['tokens']): Promise<Int32Array | null> => {
    const bytes = await readFile(pathOf(part)).catch(() => null);
    if (bytes?.length !== 4 * summary.tokens[part] || createHash('sha256').update(bytes).digest('hex') !== summary.sha256[part]) return null;
    const ids = new Int32Array(summary.tokens[part]);
    new Uint8Array(ids.buffer).set(bytes);
    return littleEndian(ids);
  };
  const [validation, test] = [await read('validation'), await read('test')];
  const isLarge = 4 * summary.tokens.train > MAXIMUM_BYTES;
  // Of gigabytes a hash would take longer than the wait is worth: their size must do.
  const hasSize = async () => (await stat(pathOf('train')).catch(() => null))?.size === 4 * summary.tokens.train;
  const file = isLarge && (await hasSize()) ? new FileTokens(pathOf('train'), summary.tokens.train) : null;
  const train = isLarge ? file : await read('train');
  if (!train || !validation || !test) return null;
  return { train, validation, test, description: describe(name, summary), close: () => file?.close() };
}

/** Token ids in a file, of which each reading reads no more than it gives. */
export class FileTokens implements TokenStream {
  #file: number | undefined;

  /** @param path of int32 values, little-endian */
  constructor(
    private readonly path: string,
    readonly length: number,
  ) {}

  subarray(start: number, end: number): Int32Array {
    this.#file ??= openSync(this.path, 'r');
    const ids = new Int32Array(end - start);
    const bytes = new Uint8Array(ids.buffer);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.#file, bytes, at, bytes.length - at, 4 * start + at);
      if (read === 0) throw new RangeError(`${this.path}: expected ${this.length} tokens, got fewer`);
      at += read;
    }
    return littleEndian(ids);
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** The same array, its bytes in the order of the files. */
function littleEndian(ids: Int32Array): Int32Array {
  if (endianness() === 'BE') Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength).swap32();
  return ids;
}

function describe(name: string, { documents, characters, tokens, skipped }: Summary): string {
  const count = (n: number): string => n.toLocaleString('en-US');
  const sizes = (numbers: Parts<number>): string => PART_NAMES.map((part) => `${part} ${count(numbers[part])}`).join(', ');
  const left = skipped === 0 ? '' : `; ${count(skipped)} broken rows left out`;
  return `${name}: ${sizes(documents)} documents; characters: ${sizes(characters)}; tokens: ${sizes(tokens)}${left}`;
}
