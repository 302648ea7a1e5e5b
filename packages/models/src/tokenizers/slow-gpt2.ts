// The tokenizer.json of a GPT-2 tokenizer that was published in the files of its slow Python class, such as that of OPT.
import { FileError } from '@mixsga/backend';
import { z } from 'zod';

const description = z.looseObject({
  content: z.string(),
  single_word: z.boolean().nullish(),
  lstrip: z.boolean().nullish(),
  rstrip: z.boolean().nullish(),
  normalized: z.boolean().nullish(),
  special: z.boolean().nullish(),
});
const token = z.union([z.string(), description]);
const specialTokens = {
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  unk_token: token.nullish(),
  sep_token: token.nullish(),
  pad_token: token.nullish(),
  cls_token: token.nullish(),
  mask_token: token.nullish(),
  additional_special_tokens: z.array(token).nullish(),
};
const id = z.number().int().nonnegative();
const ids = z.record(z.string(), id);
const schemas = {
  vocabulary: ids, // checked alone: what zod gives back lacks a key such as __proto__
  config: z
    .looseObject({
      ...specialTokens,
      tokenizer_class: z.string().nullish(),
      add_prefix_space: z.boolean().nullish(),
      add_bos_token: z.boolean().nullish(),
      added_tokens_decoder: z.record(z.string(), description).nullish(),
    })
    .nullable(),
  specialTokensMap: z.looseObject(specialTokens).nullable(),
  addedTokens: ids.nullable(),
};

/** A file's content, with its path for error messages; null where there is no such file. */
export interface NamedContent<T> {
  readonly content: T;
  readonly where: string;
}

export interface SlowTokenizerFiles {
  /** vocab.json: tokens to ids. */
  readonly vocabulary: NamedContent<unknown>;
  /** merges.txt: a merge a line, the best first. */
  readonly merges: NamedContent<string>;
  /** tokenizer_config.json */
  readonly config: NamedContent<unknown>;
  /** special_tokens_map.json */
  readonly specialTokensMap: NamedContent<unknown>;
  /** added_tokens.json: tokens beside the vocabulary to their ids. */
  readonly addedTokens: NamedContent<unknown>;
}

type Description = z.output<typeof description>;
type SpecialTokens = z.output<z.ZodObject<typeof specialTokens>>;

const NAMES = Object.keys(specialTokens) as (keyof SpecialTokens)[];

/** Those of `GPT2Tokenizer` where no file names one. */
const DEFAULT_TOKENS = { bos_token: '<|endoftext|>', eos_token: '<|endoftext|>', unk_token: '<|endoftext|>' };

/** Those that `GPT2Tokenizer` makes an `AddedToken` of, which counts as normalized. */
const WRAPPED: ReadonlySet<keyof SpecialTokens> = new Set(['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const);

/** Classes of transformers that are made of these files as this module does. */
const CLASSES = ['GPT2Tokenizer', 'GPT2TokenizerFast'];

/**
 * What `GPT2Converter` of transformers makes of these files, with the special tokens that `PreTrainedTokenizerFast` adds.
 * @throws FileError naming the file and the field
 */
export function slowGpt2Tokenizer(files: SlowTokenizerFiles): Record<string, unknown> {
  checked(schemas.vocabulary, files.vocabulary);
  const vocabulary = files.vocabulary.content as Readonly<Record<string, number>>;
  const config = checked(schemas.config, files.config) ?? {};
  const { tokenizer_class: tokenizerClass } = config;
  if (typeof tokenizerClass === 'string' && !CLASSES.includes(tokenizerClass)) {
    throw new FileError(
      files.config.where,
      `tokenizer_class: expected ${CLASSES.join(' or ')} where there is no tokenizer.json, got ${tokenizerClass}; ${conversionAdvice(files.config.where)}`,
    );
  }
  const named = specialTokensOf(config, checked(schemas.specialTokensMap, files.specialTokensMap) ?? {});
  const added = addedTokens(vocabulary, named, config.added_tokens_decoder ?? {}, checked(schemas.addedTokens, files.addedTokens) ?? {}, files.addedTokens.where);
  const bos = contentOf(named.bos_token);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: config.add_prefix_space ?? false, trim_offsets: true, use_regex: true },
    post_processor: config.add_bos_token ? bosBefore(bos, added, files.config.where) : { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: vocabulary,
      merges: mergesOf(files.merges),
    },
  };
}

/** What to do with a tokenizer that is in none of the forms read here. */
export function conversionAdvice(where: string): string {
  const place = where.replace(/\/[^/]*$/, '');
  return `save it as tokenizer.json, once, in Python: transformers.AutoTokenizer.from_pretrained(${JSON.stringify(place)}).save_pretrained("FOLDER")`;
}

function checked<S extends z.ZodType>(schema: S, { content, where }: NamedContent<unknown>): z.output<S> {
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const problem = issue.message.replace(/^.*?: (?=expected)/, '').replace(/, received (.*)$/, ', got $1');
  throw new FileError(where, issue.path.length > 0 ? `${issue.path.map(String).join('.')}: ${problem}` : problem);
}

/** special_tokens_map.json counts before tokenizer_config.json, unless that lists the added tokens itself. */
function specialTokensOf(config: SpecialTokens & { added_tokens_decoder?: unknown }, map: SpecialTokens): SpecialTokens {
  const { added_tokens_decoder: listed, ...own } = config;
  return { ...DEFAULT_TOKENS, ...defined(own), ...(listed ? {} : defined(map)) };
}

function defined(tokens: SpecialTokens): SpecialTokens {
  return Object.fromEntries(NAMES.flatMap((key) => (tokens[key] === undefined ? [] : [[key, tokens[key]]])));
}

function contentOf(named: string | Description | null | undefined): string | null {
  return typeof named === 'string' ? named : (named?.content ?? null);
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Those that have ids of their own come first, in the order of these, then the special ones; a new one gets the next free id. */
function addedTokens(
  vocabulary: Readonly<Record<string, number>>,
  named: SpecialTokens,
  listed: Readonly<Record<string, Description>>,
  added: Readonly<Record<string, number>>,
  where: string,
): AddedToken[] {
  const special = NAMES.flatMap((key) => [named[key] ?? []].flat().map((each) => asSpecial(each, WRAPPED.has(key))));
  const specialContents = new Set(special.map(({ content }) => content));
  const fromIds = (content: string): Description => special.find((each) => each.content === content) ?? { content };
  const withIds: [Description, number | undefined][] = [
    ...Object.entries(listed).map(([key, each]): [Description, number] => [each, Number(key)]),
    ...Object.entries(added).map(([content, ownId]): [Description, number] => [fromIds(content), ownId]),
  ];
  withIds.sort(([, a], [, b]) => a! - b!);
  const tokens = new Map<string, AddedToken>();
  let next = Object.keys(vocabulary).length;
  for (const [each, ownId] of [...withIds, ...special.map((one): [Description, undefined] => [one, undefined])]) {
    if (tokens.has(each.content)) continue;
    const given = Object.hasOwn(vocabulary, each.content) ? vocabulary[each.content]! : next++;
    if (ownId !== undefined && ownId !== given) {
      throw new FileError(where, `${each.content}: expected the id ${given}, which follows from vocab.json, got ${ownId}`);
    }
    tokens.set(each.content, {
      id: given,
      content: each.content,
      single_word: each.single_word ?? false,
      lstrip: each.lstrip ?? false,
      rstrip: each.rstrip ?? false,
      normalized: each.normalized ?? true,
      special: (each.special ?? false) || specialContents.has(each.content),
    });
  }
  return [...tokens.values()].sort((a, b) => a.id - b.id);
}

function asSpecial(named: string | Description, isWrapped: boolean): Description {
  return typeof named === 'string' ? { content: named, normalized: isWrapped, special: true } : { ...named, special: true };
}

function bosBefore(bos: string | null, added: readonly AddedToken[], where: string): Record<string, unknown> {
  const found = added.find(({ content }) => content === bos);
  if (bos === null || !found) throw new FileError(where, 'add_bos_token: expected a bos_token with it, got none');
  const before = { SpecialToken: { id: bos, type_id: 0 } };
  const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [before, text('A', 0)],
    pair: [before, text('A', 0), text('B', 1)],
    special_tokens: { [bos]: { id: bos, ids: [found.id], tokens: [bos] } },
  };
}

/** The first line says the version. */
function mergesOf({ content, where }: NamedContent<string>): [string, string][] {
  const merges: [string, string][] = [];
  for (const [number, line] of content.split(/\r?\n/).entries()) {
    if (line === '' || (number === 0 && line.startsWith('#version'))) continue;
    const pair = line.split(' ');
    if (pair.length !== 2 || pair.includes('')) {
      throw new FileError(where, `line ${number + 1}: expected two tokens with a space between, got ${JSON.stringify(line.slice(0, 80))}`);
    }
    merges.push(pair as [string, string]);
  }
  return merges;
}
