import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { FileError } from '@mixsga/backend';
import { MAXIMUM_BYTES, message, readText } from './files';
import { readSotu } from './sotu';
import { PART_NAMES, splitAddresses, splitDocuments, type Parts } from './split';

export interface Corpus {
  /** `sotu`, or the file or folder name. */
  name: string;
  /** One line for people: what it is, how much, how it was split. */
  description: string;
  /** Documents without leading or trailing white space, none empty. */
  documents: Parts<string[]>;
}

/** Each part must fill some windows, and a tokenizer must find pairs that occur twice. */
const LEAST_CHARACTERS = 20_000;
const LEAST_CHARACTERS_OF_PART = 500;

/**
 * Loads a text corpus and splits it into train, validation and test.
 *
 * @param spec `sotu` for the embedded State of the Union addresses; or the path of a UTF-8 text file, of a
 *   folder (every .txt and .md file below it, one document each, in order of path), or of a .jsonl file
 *   (one object per line, its `text` one document)
 * @throws FileError when the path is missing, a file is not UTF-8 (with the byte offset) or a line is not such
 *   JSON (with the line number), and when the corpus or a part of it is too small or too large
 */
export async function loadCorpus(spec: string): Promise<Corpus> {
  if (spec === 'sotu') {
    const addresses = await readSotu();
    const documents = splitAddresses(addresses.map(({ text }) => text));
    return describe('sotu', 'State of the Union addresses, 1790 to 2021', documents);
  }
  const texts = (await readDocuments(spec)).map((text) => text.trim()).filter((text) => text !== '');
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  if (characters < LEAST_CHARACTERS) {
    const found = characters === 0 ? 'no text' : `only ${count(characters)} characters`;
    throw new FileError(spec, `holds ${found}; a corpus needs at least ${count(LEAST_CHARACTERS)}, add text`);
  }
  if (characters > MAXIMUM_BYTES) {
    throw new FileError(spec, `holds ${count(characters)} characters, at most ${count(MAXIMUM_BYTES)} are supported; train on a part of it`);
  }
  const documents = splitDocuments(texts);
  for (const part of PART_NAMES) {
    const size = documents[part].join('').length;
    if (size < LEAST_CHARACTERS_OF_PART) {
      throw new FileError(
        spec,
        `its ${part} part holds only ${count(size)} characters of at least ${LEAST_CHARACTERS_OF_PART}; add text, or make documents more even in length`,
      );
    }
  }
  return describe(basename(spec), `${count(texts.length)} document${texts.length === 1 ? '' : 's'}`, documents);
}

function describe(name: string, what: string, documents: Parts<string[]>): Corpus {
  const sizes = PART_NAMES.map((part) => {
    const characters = documents[part].reduce((sum, text) => sum + text.length, 0);
    return `${part} ${count(characters)}`;
  });
  return { name, description: `${name}: ${what}; characters: ${sizes.join(', ')}`, documents };
}

async function readDocuments(path: string): Promise<string[]> {
  const status = await stat(path).catch((error: unknown) => {
    throw new FileError(path, `cannot be read (${message(error)}); give "sotu", or the path of a text file, a .jsonl file or a folder`);
  });
  if (!status.isDirectory()) {
    return extname(path) === '.jsonl' ? parseJsonLines(path, await readText(path)) : [await readText(path)];
  }
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && ['.txt', '.md'].includes(extname(entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  if (files.length === 0) throw new FileError(path, 'the folder holds no .txt or .md file; add some');
  const texts: string[] = [];
  for (const file of files) texts.push(await readText(file)); // one by one: a folder may hold more files than can be open at once
  return texts;
}

function parseJsonLines(path: string, content: string): string[] {
  return content.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (error) {
      throw new FileError(path, `line ${i + 1}: not JSON (${message(error)}); each line must be an object such as {"text": "..."}`);
    }
    const text = typeof row === 'object' && row !== null && 'text' in row ? row.text : undefined;
    if (typeof text !== 'string') {
      throw new FileError(path, `line ${i + 1}: expected an object with a string "text", got ${line.slice(0, 60)}`);
    }
    return [text];
  });
}

function count(n: number): string {
  return n.toLocaleString('en-US');
}
