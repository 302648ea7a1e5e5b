// tokenizer.json, as Hugging Face tokenizers 0.22 writes and reads it. A key that it does not know is ignored there, and here.
import { FileError } from '@mixsga/backend';
import { z } from 'zod';

/** Ids above this are no vocabulary's: the largest that are published have some 300,000 tokens. */
const MAX_ID = 2 ** 22;

const flag = z.boolean().optional();
const id = z.number().int().nonnegative().max(MAX_ID);
const behavior = z.enum(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
const pattern = z.union([z.object({ String: z.string() }), z.object({ Regex: z.string().max(4096) })]);
const prependScheme = z.enum(['always', 'never', 'first']).optional();
const character = z.string().refine((text) => Array.from(text).length === 1, 'expected one character');
const component = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) => z.looseObject({ type: z.literal(type), ...shape });

const byteLevel = component('ByteLevel', { add_prefix_space: flag, use_regex: flag });
const metaspace = component('Metaspace', { replacement: character, prepend_scheme: prependScheme, add_prefix_space: flag, split: flag });

const normalizerLeaves = [
  component('BertNormalizer', { clean_text: z.boolean(), handle_chinese_chars: z.boolean(), strip_accents: z.boolean().nullish(), lowercase: z.boolean() }),
  component('Strip', { strip_left: z.boolean(), strip_right: z.boolean() }),
  component('StripAccents', {}),
  component('NFC', {}),
  component('NFD', {}),
  component('NFKC', {}),
  component('NFKD', {}),
  component('Lowercase', {}),
  component('Replace', { pattern, content: z.string() }),
  component('Prepend', { prepend: z.string() }),
  component('ByteLevel', {}),
] as const;
export type NormalizerSpec = z.output<(typeof normalizerLeaves)[number]> | { readonly type: 'Sequence'; readonly normalizers: readonly NormalizerSpec[] };
const normalizer: z.ZodType<NormalizerSpec> = z.lazy(() => z.discriminatedUnion('type', [...normalizerLeaves, component('Sequence', { normalizers: z.array(normalizer) })]));

const preTokenizerLeaves = [
  byteLevel,
  metaspace,
  component('BertPreTokenizer', {}),
  component('CharDelimiterSplit', { delimiter: character }),
  component('Whitespace', {}),
  component('WhitespaceSplit', {}),
  component('Split', { pattern, behavior, invert: z.boolean() }),
  component('Punctuation', { behavior: behavior.optional() }),
  component('Digits', { individual_digits: flag }),
  component('FixedLength', { length: z.number().int().positive() }),
] as const;
export type PreTokenizerSpec = z.output<(typeof preTokenizerLeaves)[number]> | { readonly type: 'Sequence'; readonly pretokenizers: readonly PreTokenizerSpec[] };
const preTokenizer: z.ZodType<PreTokenizerSpec> = z.lazy(() => z.discriminatedUnion('type', [...preTokenizerLeaves, component('Sequence', { pretokenizers: z.array(preTokenizer) })]));

const named = z.tuple([z.string(), id]);
const place = z.object({ id: z.string(), type_id: z.number() });
const templatePiece = z.union([
  z.strictObject({ SpecialToken: place }),
  z.strictObject({ Sequence: place.extend({ id: z.enum(['A', 'B']) }) }),
]);

const postProcessorLeaves = [
  component('ByteLevel', {}),
  component('BertProcessing', { sep: named, cls: named }),
  component('RobertaProcessing', { sep: named, cls: named }),
  component('TemplateProcessing', { single: z.array(templatePiece), special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(id) })) }),
] as const;
export type PostProcessorSpec = z.output<(typeof postProcessorLeaves)[number]> | { readonly type: 'Sequence'; readonly processors: readonly PostProcessorSpec[] };
const postProcessor: z.ZodType<PostProcessorSpec> = z.lazy(() => z.discriminatedUnion('type', [...postProcessorLeaves, component('Sequence', { processors: z.array(postProcessor) })]));

const decoderLeaves = [
  byteLevel,
  metaspace,
  component('BPEDecoder', { suffix: z.string() }),
  component('WordPiece', { prefix: z.string(), cleanup: z.boolean() }),
  component('CTC', { pad_token: z.string(), word_delimiter_token: z.string(), cleanup: z.boolean() }),
  component('Replace', { pattern, content: z.string() }),
  component('Fuse', {}),
  component('Strip', { content: character, start: z.number().int().nonnegative(), stop: z.number().int().nonnegative() }),
  component('ByteFallback', {}),
] as const;
export type DecoderSpec = z.output<(typeof decoderLeaves)[number]> | { readonly type: 'Sequence'; readonly decoders: readonly DecoderSpec[] };
const decoder: z.ZodType<DecoderSpec> = z.lazy(() => z.discriminatedUnion('type', [...decoderLeaves, component('Sequence', { decoders: z.array(decoder) })]));

/** Checked by hand: a record of zod drops a key such as `__proto__`, and takes its time with a quarter of a million tokens. */
const vocabulary = z.custom<Readonly<Record<string, number>>>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'expected an object of tokens and ids');
const optionalText = z.string().nullish();

const model = z.discriminatedUnion('type', [
  component('BPE', {
    vocab: vocabulary,
    merges: z.custom<readonly unknown[]>(Array.isArray, 'expected a list of merges'),
    dropout: z.number().nullish(),
    unk_token: optionalText,
    continuing_subword_prefix: optionalText,
    end_of_word_suffix: optionalText,
    fuse_unk: flag,
    byte_fallback: flag,
    ignore_merges: flag,
  }),
  component('WordPiece', {
    vocab: vocabulary,
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.number().int().nonnegative().max(1000), // time grows with its square
  }),
  component('WordLevel', { vocab: vocabulary, unk_token: z.string() }),
  component('Unigram', { vocab: z.array(z.tuple([z.string(), z.number()])).min(1).max(MAX_ID), unk_id: id.nullish(), byte_fallback: flag }),
]);

const addedToken = z.looseObject({
  id,
  content: z.string(),
  single_word: flag,
  lstrip: flag,
  rstrip: flag,
  normalized: flag,
  special: flag,
});

const tokenizerJson = z.looseObject({
  added_tokens: z.array(addedToken).max(MAX_ID).nullish(),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer.nullish(),
  model,
  post_processor: postProcessor.nullish(),
  decoder: decoder.nullish(),
});

export type Pattern = z.output<typeof pattern>;
export type Behavior = z.output<typeof behavior>;
export type ModelSpec = z.output<typeof model>;
export type AddedTokenSpec = z.output<typeof addedToken>;
export type TokenizerSpec = z.output<typeof tokenizerJson>;

/** Says which field of a tokenizer.json is wrong. */
export type Fail = (field: string, problem: string) => never;

/** @throws FileError naming the field, what was expected and what was got */
export function parseTokenizerJson(json: unknown, where: string): TokenizerSpec {
  const fail = failureIn(where);
  const result = validated(json, fail);
  if (!result.success) {
    const issue = deepest(result.error.issues[0]!);
    const field = issue.path.map(String).join('.');
    fail(field, problemOf(issue));
  }
  const spec = result.data!;
  if (spec.model.type !== 'Unigram') {
    for (const [token, value] of Object.entries(spec.model.vocab)) {
      if (!Number.isInteger(value) || value < 0 || value > MAX_ID) {
        fail(`model.vocab.${token}`, `expected an id, a whole number from 0 to ${MAX_ID}, got ${JSON.stringify(value)}`);
      }
    }
  }
  return spec;
}

function validated(json: unknown, fail: Fail) {
  try {
    return tokenizerJson.safeParse(withModelType(json), { reportInput: true });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail('', 'expected parts in parts to some depth, got more than can be followed');
  }
}

export function failureIn(where: string): Fail {
  return (field, problem) => {
    throw new FileError(where, `expected a tokenizer.json of Hugging Face tokenizers: ${field === '' ? '' : `${field}: `}${problem}`);
  };
}

/** Old files do not say which model theirs is. */
function withModelType(json: unknown): unknown {
  const file = json as { model?: Record<string, unknown> } | null;
  const found = file?.model;
  if (typeof found !== 'object' || found === null || 'type' in found) return json;
  const type = 'merges' in found ? 'BPE' : Array.isArray(found.vocab) ? 'Unigram' : 'max_input_chars_per_word' in found ? 'WordPiece' : 'WordLevel';
  return { ...file, model: { type, ...found } };
}

type Issue = z.core.$ZodIssue;

/** Of what fits no form, the problem of the form that it fits most. */
function deepest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const best = issue.errors.map((errors) => errors[0]!).reduce((most, each) => (each.path.length > most.path.length ? each : most));
  return deepest({ ...best, path: [...issue.path, ...best.path] });
}

function problemOf(issue: Issue): string {
  const { input } = issue as { input?: unknown };
  const got = input === undefined ? 'nothing' : (JSON.stringify(input) ?? typeof input).slice(0, 80);
  if (issue.code === 'invalid_union') return `expected a type that is read here, got ${JSON.stringify((input as { type?: unknown } | null)?.type ?? null)}`;
  if (issue.code === 'too_big') return `expected at most ${issue.maximum}, got ${got}`;
  return `${issue.message.replace(/^.*?: (?=expected)/, '').replace(/, received .*$/, '')}, got ${got}`;
}
