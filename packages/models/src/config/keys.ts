// What the configurations of all families have in common.
import { ArgumentError } from '@mixsga/backend';
import { routerNames } from '@mixsga/router';
import { z } from 'zod';
import { parseAttention } from '../attention/index';
import { checkOtherKeys } from './other-keys';
import { checkField, validateConfig } from './validate';

export const count = z.int({ error: 'expected a whole number above 0' }).positive({ error: 'expected a whole number above 0' });
/**
 * A size, at most what no published model comes near: what follows from it (parameters, layers, positions) can then be listed in a
 * moment, before a file has shown that it holds them.
 */
const upTo = (most: number) => count.max(most, { error: `expected at most ${most}` });
const layerCount = upTo(2 ** 12);
export const headCount = upTo(2 ** 14);
/** Of a vector of a token: hidden, of the feed-forward layer, of a head, of an embedding. */
export const width = upTo(2 ** 20);
export const tokenCount = upTo(2 ** 28);
export const positive = z.number({ error: 'expected a number above 0' }).positive({ error: 'expected a number above 0' });
export const tokenId = z.int({ error: 'expected a token id' }).nonnegative({ error: 'expected a token id' });

/** A key whose value this implementation has no other of. */
export const only = <T extends string | boolean>(value: T) =>
  z.literal(value, { error: `expected ${JSON.stringify(value)}, the only one implemented` }).default(value as never);

const mixsga = z.strictObject({
  /** An attention variant, see {@link parseAttention}. */
  attention: z.string(),
  router: z.string().refine((name) => routerNames().includes(name), {
    error: () => `expected one of ${routerNames().join(', ')}`, params: { hint: 'a plugin may register it (--plugin, registerRouter)' },
  }).optional(),
  routerSeed: z.int({ error: 'expected a whole number' }).optional(),
  /** Whether heads were aligned before they were grouped: how the weights were made, nothing to be done. */
  align: z.boolean({ error: 'expected true or false' }).optional(),
});

export const tokenIds = z.union([tokenId, z.array(tokenId)], { error: 'expected a token id, or a list of them' });

/** A negative token id is how some tools write that there is none. */
export const orNone = <T extends z.ZodType>(ids: T) =>
  z.preprocess((value) => (Number.isInteger(value) && (value as number) < 0 ? null : value), ids.nullish());

/** Keys of every family. */
export const common = {
  vocab_size: tokenCount,
  hidden_size: width,
  num_hidden_layers: layerCount,
  num_attention_heads: headCount,
  max_position_embeddings: tokenCount,
  bos_token_id: orNone(tokenId),
  eos_token_id: orNone(tokenIds),
  pad_token_id: orNone(tokenId),
  mixsga: mixsga.optional(),
};

/** The attention variant with its routers, which this project writes beside the keys of Hugging Face. */
export type MixsgaKey = z.output<typeof mixsga>;

/**
 * The keys of a family from a parsed config.json. Of all others, those that would change what the model computes are refused, and
 * those that are not known are reported by one warning, see {@link checkOtherKeys}. A null counts as absent where absent is false.
 * @param unknownWithin the unknown keys of objects among them
 * @throws FileError naming the field, what was expected and what was got
 */
export function readKeys<Keys extends z.ZodRawShape>(
  keys: Keys, json: unknown, where: string, unknownWithin: (parsed: z.output<z.ZodObject<Keys>>, where: string) => readonly string[] = () => [],
): z.output<z.ZodObject<Keys>> {
  const given = validateConfig(z.looseObject({}), json, where);
  const isFalse = (key: string) => given[key] === null && (keys[key] as z.ZodType | undefined)?.safeParse(undefined).data === false;
  const own = Object.fromEntries(Object.entries(given).filter(([key]) => Object.hasOwn(keys, key) && !isFalse(key)));
  const parsed = validateConfig(z.object(keys), own, where) as z.output<z.ZodObject<Keys>>;
  checkOtherKeys(given, Object.keys(keys), where, unknownWithin(parsed, where));
  return parsed;
}

/** The keys that a file gives a value, or that have a default. */
export function meaningful(parsed: object): object {
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== undefined && value !== null));
}

/** What a model's attention is made of. */
export interface AttentionSizes {
  /** Base of the rotary frequencies, where positions are rotary. */
  readonly rope_theta?: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly num_key_value_heads?: number;
  readonly head_dim?: number;
  readonly mixsga?: MixsgaKey;
}

/** @throws FileError naming the field that contradicts another */
export function checkAttention(config: AttentionSizes, where: string): void {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads = heads, num_hidden_layers: layers } = config;
  checkField(where, 'num_attention_heads', () => {
    if (config.head_dim === undefined && config.hidden_size % heads !== 0) {
      throw new ArgumentError(`expected a divisor of hidden_size ${config.hidden_size}, got ${heads}`);
    }
  });
  checkField(where, 'num_key_value_heads', () => {
    if (heads % kvHeads !== 0) throw new ArgumentError(`expected a divisor of num_attention_heads ${heads}, got ${kvHeads}`);
  });
  const attention = config.mixsga?.attention;
  if (attention !== undefined) {
    const { head_dim: headDim = config.hidden_size / heads, rope_theta: theta } = config;
    const shape = { kvHeads, headDim, layers, rotary: theta !== undefined };
    checkField(where, 'mixsga.attention', () => parseAttention(attention).validate(shape));
  }
}
