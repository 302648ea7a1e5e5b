import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { FileError } from '@mixsga/backend';
import { writeFileAtomic } from '../training/files';
import type { Corpus } from './corpus';
import { encodeText, type TextTokenizer } from './encode';
import { DOCUMENT_SEPARATOR, PART_NAMES, type Parts } from './split';

const CACHE_FOLDER = '.mixsga-cache';

/**
 * The token ids of each part of a corpus, int32 [tokens]. The documents of a part are joined by a blank line,
 * with no special token between them, as windowed token perplexity is defined.
 *
 * The ids are kept in `cacheFolder`, under a hash of the texts and the tokenizer; a damaged file is made anew.
 */
export async function tokenizeCorpus(
  corpus: Corpus,
  tokenizer: TextTokenizer,
  { cacheFolder = CACHE_FOLDER }: { cacheFolder?: string } = {},
): Promise<Parts<Int32Array>> {
  const texts = PART_NAMES.map((part) => corpus.documents[part].join(DOCUMENT_SEPARATOR));
  const path = join(cacheFolder, `tokens-${keyOf(texts, tokenizer)}.bin`);
  const cached = await readFile(path).then(decode, () => null);
  if (cached !== null) return cached;

  const [train, validation, test] = texts.map((text) => encodeText(tokenizer, text));
  const tokens: Parts<Int32Array> = { train: train!, validation: validation!, test: test! };
  try {
    await writeFileAtomic(path, encode(tokens));
  } catch (error) {
    // Without the cache the next run takes some seconds longer, which is no reason to end this one.
    if (!FileError.isInstance(error)) throw error;
  }
  return tokens;
}

function keyOf(texts: readonly string[], tokenizer: TextTokenizer): string {
  const hash = createHash('sha256');
  for (const text of [tokenizer.save(), ...texts]) hash.update(`${text.length} `).update(text);
  return hash.digest('hex').slice(0, 32);
}

const MAGIC = 'MIXSGA tokens 1\n';
const COUNTS_AT = MAGIC.length;
const IDS_AT = COUNTS_AT + 4 * PART_NAMES.length;
const DIGEST_BYTES = 32;

/** A cache file: magic, the parts' numbers of tokens (uint32), their ids (int32), all little-endian, and a SHA-256 of it all. */
function encode(tokens: Parts<Int32Array>): Buffer {
  const header = Buffer.alloc(IDS_AT);
  header.write(MAGIC, 'latin1');
  PART_NAMES.forEach((part, i) => header.writeUInt32LE(tokens[part].length, COUNTS_AT + 4 * i));
  const ids = PART_NAMES.map((part) => {
    const bytes = Buffer.from(tokens[part].buffer, tokens[part].byteOffset, tokens[part].byteLength);
    return endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32();
  });
  const content = Buffer.concat([header, ...ids]);
  return Buffer.concat([content, sha256(content)]);
}

/** The parts in a cache file, or null when it is damaged. */
function decode(file: Buffer): Parts<Int32Array> | null {
  const content = file.subarray(0, -DIGEST_BYTES);
  if (content.length < IDS_AT || !file.subarray(-DIGEST_BYTES).equals(sha256(content))) return null;
  let offset = IDS_AT;
  const [train, validation, test] = PART_NAMES.map((_, i) => {
    const count = content.readUInt32LE(COUNTS_AT + 4 * i);
    const bytes = Buffer.from(content.subarray(offset, (offset += 4 * count))); // a copy, so that it is aligned
    if (endianness() === 'BE') bytes.swap32();
    return new Int32Array(bytes.buffer, bytes.byteOffset, count);
  });
  return { train: train!, validation: validation!, test: test! };
}

function sha256(content: Uint8Array): Buffer {
  return createHash('sha256').update(content).digest();
}
