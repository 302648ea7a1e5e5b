import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';

import { FileError } from '@mixsga/backend';
import type { DataRow } from '@mixsga/evaluators';

import { type DataFile, findDataFiles, type FindOptions } from './data-files';
import { MAXIMUM_BYTES } from './files';
import type { ReadingOptions } from './json-rows';
import { readFileRows } from './rows';
import { readSotu } from './sotu';
import { LEAST_DOCUMENTS, PART_NAMES, partOfDocument, type Parts, splitAddresses, splitDocuments } from './split';

export type Part = keyof Parts<unknown>;

/** A text for training and evaluation, read in a stream: it may be larger than memory. */
export interface Corpus {
  /** `sotu`, the file or folder name, or the id on the hub. */
  readonly name: string;
  /** Differs where anything in the documents or their parts may. */
  readonly fingerprint: string;
  /** To read, for progress. */
  readonly bytes: number;
  /**
   * The documents in order, without leading or trailing white space, none empty.
   * @throws FileError as {@link readFileRows}, and at the end when the corpus or a part of it is too small
   */
  documents(options?: ReadingOptions & { readonly onSkip?: (error: FileError) => void }): AsyncIterable<Document>;
}

export interface Document {
  readonly part: Part;
  readonly text: string;
}

export interface CorpusOptions extends FindOptions {
  /** The field of a row that holds its text. Default `text`. */
  readonly textField?: string | undefined;
  /** Leaves broken rows out in place of failing. */
  readonly skipBroken?: boolean | undefined;
}

/** Each part must fill some windows, and a tokenizer must find pairs that occur twice. */
const LEAST_CHARACTERS = 20_000;
const LEAST_CHARACTERS_OF_PART = 500;

/**
 * Finds a text corpus and how it is split into train, validation and test: a set whose files name these parts has them so, and what it
 * lacks is taken out of the training part; any other as {@link splitDocuments} does it.
 *
 * @param spec `sotu` for the embedded State of the Union addresses, or what {@link readRows} takes: each row, and each text file, is a
 *   document
 * @throws FileError when it cannot be had
 */
export async function loadCorpus(spec: string, { textField = 'text', skipBroken = false, ...options }: CorpusOptions = {}): Promise<Corpus> {
  if (spec === 'sotu') {
    const parts = splitAddresses((await readSotu()).map(({ text }) => text));
    const documents = PART_NAMES.flatMap((part) => parts[part].map((text) => ({ part, text })));
    const bytes = documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
    return { name: 'sotu', fingerprint: hashOf(JSON.stringify(documents)), bytes, documents: ({ onBytes } = {}) => inTurn(documents, onBytes) };
  }
  const files = await findDataFiles(spec, options);
  const sizes = await Promise.all(files.map(async ({ path }) => (await stat(path)).size));
  const name = files[0]!.name.startsWith(`${spec}/`) && files[0]!.path !== files[0]!.name ? spec : basename(spec);
  return {
    name,
    fingerprint: hashOf(JSON.stringify({ textField, skipBroken, files: await fingerprints(files, sizes) })),
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    documents: (reading = {}) => checked(spec, split(spec, files, textsOf(files, { textField, skipBroken, ...reading }))),
  };
}

/**
 * The documents of a text as they stand, in order, whatever their parts: one for each row, and each text file.
 * @param spec what {@link readRows} takes
 * @throws FileError when there is none, or they are more than a string holds
 */
export async function readWholeText(
  spec: string,
  { textField = 'text', skipBroken = false, onSkip, ...options }: CorpusOptions & { readonly onSkip?: (error: FileError) => void },
): Promise<string[]> {
  const texts: string[] = [];
  let characters = 0;
  for (const file of await findDataFiles(spec, options)) {
    for await (const row of readFileRows(file, { skipBroken, ...(onSkip && { onSkip }), columns: [textField], signal: options.signal })) {
      const text = textOf(row, textField);
      if (typeof text === 'string') {
        if (text.trim() !== '') texts.push(text);
        characters += text.length;
      } else if (skipBroken) onSkip?.(text);
      else throw text;
      if (characters > MAXIMUM_BYTES) throw new FileError(spec, `holds over ${count(MAXIMUM_BYTES)} characters; measure a part of it, or give --split`);
    }
  }
  if (texts.length === 0) throw new FileError(spec, 'holds no text; add some');
  return texts;
}

/** All documents of each part. For a corpus that fits in memory. */
export async function collectDocuments(corpus: Corpus): Promise<Parts<string[]>> {
  const parts: Parts<string[]> = { train: [], validation: [], test: [] };
  for await (const { part, text } of corpus.documents()) parts[part].push(text);
  return parts;
}

/** Documents of the training part to train a tokenizer on: all, or of a large corpus the first. */
export async function textsForTokenizer(corpus: Corpus): Promise<string[]> {
  const texts: string[] = [];
  let characters = 0;
  for await (const { part, text } of corpus.documents()) {
    if (part !== 'train') continue;
    if (characters + text.length > MAXIMUM_BYTES) break;
    texts.push(text);
    characters += text.length;
  }
  return texts;
}

/** Of a small corpus its content; of a large one, which would take minutes to read, its files' sizes and times of change. */
async function fingerprints(files: readonly DataFile[], sizes: readonly number[]): Promise<unknown[]> {
  const isSmall = sizes.reduce((sum, size) => sum + size, 0) <= MAXIMUM_BYTES;
  const all: unknown[] = [];
  for (const [i, { path, name, part }] of files.entries()) {
    all.push([basename(name), part, sizes[i], isSmall ? await hashOfFile(path) : (await stat(path)).mtimeMs]);
  }
  return all;
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A document with the part that its file names. */
type Text = Pick<DataFile, 'part'> & { readonly text: string };

async function* textsOf(
  files: readonly DataFile[],
  { textField, ...options }: ReadingOptions & { readonly textField: string; readonly skipBroken: boolean; readonly onSkip?: (error: FileError) => void },
): AsyncGenerator<Text> {
  for (const file of files) {
    for await (const row of readFileRows(file, { ...options, columns: [textField] })) {
      const text = textOf(row, textField);
      if (typeof text === 'string') {
        const trimmed = text.trim();
        if (trimmed !== '') yield { part: file.part, text: trimmed };
      } else if (options.skipBroken) options.onSkip?.(text);
      else throw text;
    }
  }
}

function textOf({ value, where }: DataRow, field: string): string | FileError {
  const text = typeof value === 'object' && value !== null && Object.hasOwn(value, field) ? (value as Record<string, unknown>)[field] : undefined;
  if (typeof text === 'string') return text;
  return new FileError(where, `expected an object with a string ${JSON.stringify(field)}, got ${JSON.stringify(value).slice(0, 60)}`);
}

/** Gives every document its part. */
async function* split(spec: string, files: readonly DataFile[], texts: AsyncIterable<Text>): AsyncGenerator<Document> {
  const own = new Set(files.map(({ part }) => part));
  if (own.has('validation') || own.has('test')) {
    let index = 0;
    for await (const { part = 'train', text } of texts) {
      const drawn = part === 'train' ? partOfDocument(index++) : part;
      yield { part: own.has(drawn) ? part : drawn, text };
    }
    return;
  }
  // Only at the end of the text is it known whether there are enough documents to be split whole.
  const first: string[] = [];
  let index = 0;
  let characters = 0;
  for await (const { text } of texts) {
    if (index >= LEAST_DOCUMENTS) {
      yield { part: partOfDocument(index++), text };
      continue;
    }
    first.push(text);
    characters += text.length;
    if (characters > MAXIMUM_BYTES) {
      throw new FileError(spec, `its first ${first.length} documents hold over ${MAXIMUM_BYTES.toLocaleString('en-US')} characters; make documents shorter`);
    }
    if (++index === LEAST_DOCUMENTS) for (const [i, one] of first.splice(0).entries()) yield { part: partOfDocument(i), text: one };
  }
  if (first.length === 0) return;
  const parts = splitDocuments(first);
  for (const part of PART_NAMES) for (const text of parts[part]) yield { part, text };
}

async function* checked(spec: string, documents: AsyncIterable<Document>): AsyncGenerator<Document> {
  const characters: Parts<number> = { train: 0, validation: 0, test: 0 };
  for await (const document of documents) {
    characters[document.part] += document.text.length;
    yield document;
  }
  const total = PART_NAMES.reduce((sum, part) => sum + characters[part], 0);
  if (total < LEAST_CHARACTERS) {
    const found = total === 0 ? 'no text' : `only ${count(total)} characters`;
    throw new FileError(spec, `holds ${found}; a corpus needs at least ${count(LEAST_CHARACTERS)}, add text`);
  }
  for (const part of PART_NAMES) {
    if (characters[part] >= LEAST_CHARACTERS_OF_PART) continue;
    throw new FileError(
      spec,
      `its ${part} part holds only ${count(characters[part])} characters of at least ${LEAST_CHARACTERS_OF_PART}; add text, or make documents more even in length`,
    );
  }
}

async function* inTurn(documents: readonly Document[], onBytes: ReadingOptions['onBytes']): AsyncGenerator<Document> {
  for (const document of documents) {
    onBytes?.(Buffer.byteLength(document.text));
    yield await Promise.resolve(document);
  }
}

function count(n: number): string {
  return n.toLocaleString('en-US');
}
