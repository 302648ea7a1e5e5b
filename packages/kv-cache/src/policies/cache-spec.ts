// What keeps a KV cache small, as one value with one text.
import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import { policyNamed, policyNames, suggestion } from './index';
import type { CachePolicy } from './policy';

/**
 * How much a cache may hold, and what happens to the tokens that its policy ranks lowest when it is full. Its text is
 * `POLICY[@SIZES]:LIMIT[:SEED][:ACTION]`, such as `h2o:0.6`, `nacl:0.6:3`, `window:50%:evict` or `mean-attention@2,4:65536B:coarsen+evict`;
 * `none` stands for a cache without a limit.
 */
export interface CacheSpec {
  /** A name of the catalog or of `registerPolicy`, or a policy of your own. */
  readonly policy: string | CachePolicy;
  readonly limit: CacheLimit;
  /** Default: `evict` where the limit is in tokens, `coarsen` where it is in bytes. */
  readonly action?: CacheAction;
  /**
   * Sizes of the coarser forms, for formats that have forms of any size: group sizes, or by how many times a latent is shorter. Default: the
   * coarser forms of the coarsest format, until all tokens at the last one would take two thirds of the bytes.
   */
  readonly sizes?: readonly number[];
  /** For policies that draw. Default 0. */
  readonly seed?: number;
}

/** One of three; shares are above 0 and at most 1. */
export interface CacheLimit {
  /** The tokens that a layer keeps, as a share of `maxTokens`: `0.6`. */
  readonly tokens?: number;
  /** The bytes that the cache holds, which the layers divide evenly: `65536B`. */
  readonly bytes?: number;
  /** The same as a share of what `maxTokens` tokens take where the finest expert stores each: `50%`. */
  readonly share?: number;
}

type OneLimit = { readonly tokens: number } | { readonly bytes: number } | { readonly share: number };

/** `coarsen+evict`: tokens are evicted once all are at the coarsest. */
export type CacheAction = 'evict' | 'coarsen' | 'coarsen+evict';

/** A spec with its policy looked up and its defaults filled in. */
export interface ResolvedSpec extends Required<Omit<CacheSpec, 'policy' | 'limit' | 'sizes'>> {
  readonly policy: CachePolicy;
  readonly limit: OneLimit;
  readonly sizes: readonly number[] | null;
}

/** A {@link CacheSpec} or a {@link ResolvedSpec}. */
export type FormattedSpec = Omit<CacheSpec, 'sizes'> & { readonly sizes?: readonly number[] | null | undefined };

const ACTIONS: readonly string[] = ['evict', 'coarsen', 'coarsen+evict'] satisfies CacheAction[];
/** The names of a spec's parts, for `expectOptions` of functions that take one. */
export const CACHE_SPEC = {
  policy: true, limit: { tokens: true, bytes: true, share: true }, action: true, sizes: true, seed: true,
} as const satisfies OptionNames<CacheSpec>;

/**
 * Reads the text of a spec; null for `none`.
 * @param who whose text it is, for messages
 * @throws ArgumentError when it is not one, there is no such policy, or its parts do not fit together
 */
export function parseCacheSpec(text: string, who = 'cache'): CacheSpec | null {
  if (text === 'none') return null;
  const [head, limitText = '', ...rest] = text.split(':');
  const { name, sizes } = parseHead(head!);
  const policy = policyNamed(who, name);
  const limit = parseLimit(limitText);
  const seed = rest[0] !== undefined && /^\d{1,9}$/.test(rest[0]) ? Number(rest.shift()) : 0;
  const action = ACTIONS.includes(rest[0]!) ? (rest.shift() as CacheAction) : undefined;
  if (!policy || !limit) throw refusal(who, name, policy, text);
  if (rest.length > 0) throw new ArgumentError(`${who}: expected nothing after the limit but a seed of up to 9 digits and then one of ${ACTIONS.join(', ')}, got ${JSON.stringify(rest.join(':'))} in ${JSON.stringify(text)}`);
  const spec = { policy: policy.name, limit, ...(action && action !== actionFor(limit) && { action }), ...(sizes && { sizes }), ...(seed !== 0 && { seed }) };
  check(who, spec, policy);
  return spec;
}

/** The one text of a spec, which {@link parseCacheSpec} reads; `none` for null. */
export function formatCacheSpec(spec: FormattedSpec | null): string {
  if (spec === null) return 'none';
  const { limit, action = actionFor(limit), seed = 0 } = spec;
  return [formatHead(spec), formatLimit(limit), ...(seed === 0 ? [] : [seed]), ...(action === actionFor(limit) ? [] : [action])].join(':');
}

/**
 * A spec or its text as a cache needs it; null for no limit.
 * @throws ArgumentError as {@link parseCacheSpec}
 */
export function resolveCacheSpec(cache: string | CacheSpec | undefined, who = 'cache'): ResolvedSpec | null {
  const spec = typeof cache === 'string' ? parseCacheSpec(cache, who) : (cache ?? null);
  if (spec === null) return null;
  expectOptions<CacheSpec>(who, spec, CACHE_SPEC);
  const policy = typeof spec.policy === 'string' ? policyNamed(who, spec.policy) : spec.policy;
  if (!policy) throw refusal(who, String(spec.policy), null, String(spec.policy));
  check(who, spec, policy);
  const { limit, action = actionFor(limit), sizes = null, seed = 0 } = spec;
  return { policy, limit: limit as OneLimit, action, sizes, seed };
}

/** `mean-attention@2,4` */
export function parseHead(text: string): { name: string; sizes?: number[] } {
  const [, name = text, sizes] = /^([^@]*)@(\d+(?:,\d+)*)$/.exec(text) ?? [];
  return { name, ...(sizes !== undefined && { sizes: sizes.split(',').map(Number) }) };
}

export function formatHead({ policy, sizes }: Pick<FormattedSpec, 'policy' | 'sizes'>): string {
  const name = typeof policy === 'string' ? policy : policy.name;
  return sizes ? `${name}@${sizes.join(',')}` : name;
}

/** Null where it is no limit. */
export function parseLimit(text: string): OneLimit | null {
  const [, number, unit] = /^(\d+|\d*\.\d+(?:e-\d+)?|\de-\d+)(B|%)?$/.exec(text) ?? [];
  if (number === undefined) return null;
  const value = Number(number);
  const limit = unit === 'B' ? { bytes: value } : unit === '%' ? { share: shifted(number, -2) } : { tokens: value };
  return isLimit(limit) ? limit : null;
}

export function formatLimit({ tokens, bytes, share }: CacheLimit): string {
  if (tokens !== undefined) return String(tokens);
  return bytes === undefined ? `${shifted(String(share), 2)}%` : `${bytes}B`;
}

/** A decimal number with its point moved, exactly: 3.31 / 100 is 0.033100000000000004. */
function shifted(text: string, places: number): number {
  const [digits, exponent = '0'] = text.split('e');
  return Number(`${digits}e${Number(exponent) + places}`);
}

function actionFor({ tokens }: CacheLimit): CacheAction {
  return tokens === undefined ? 'coarsen' : 'evict';
}

/** Whether the parts fit together. @throws ArgumentError */
function check(who: string, spec: CacheSpec, policy: CachePolicy): void {
  const { limit, sizes, seed = 0 } = spec;
  const action = spec.action ?? (isLimit(limit) ? actionFor(limit) : 'evict');
  const expected = !isLimit(limit) ? 'a limit of one kind, a share above 0 and at most 1 or whole bytes from 1'
    : !ACTIONS.includes(action) ? `an action of ${ACTIONS.join(', ')}`
    : limit.tokens !== undefined && action !== 'evict' ? 'a limit in bytes to coarsen to, such as 50% or 65536B'
    : sizes && action === 'evict' ? 'no sizes where tokens are evicted and none is coarsened'
    : !(Number.isInteger(seed) && seed >= 0 && seed < 1e9) ? 'a seed that is a whole number of up to 9 digits'
    : seed !== 0 && !policy.draws ? `no seed, since ${policy.name} draws nothing`
    : null;
  if (expected !== null) throw new ArgumentError(`${who}: expected ${expected}, got ${isLimit(limit) ? formatCacheSpec(spec) : JSON.stringify({ ...spec, policy: policy.name })}`);
}

/** Whether it is a limit of one kind, in range. */
export function isLimit(limit: CacheLimit): boolean {
  const kinds = Object.entries((limit as CacheLimit | null) ?? {}) as [string, number | undefined][];
  const [[kind, value] = ['', NaN], ...others] = kinds.filter(([, each]) => each !== undefined) as [string, number][];
  if (others.length > 0) return false;
  return kind === 'bytes' ? Number.isSafeInteger(value) && value >= 1 : (kind === 'tokens' || kind === 'share') && value > 0 && value <= 1;
}

function refusal(who: string, name: string, policy: CachePolicy | null, text: string): ArgumentError {
  const expected = policy
    ? `a limit above 0 after ${policy.name}, such as ${policy.name}:0.6 of the tokens, ${policy.name}:50% or ${policy.name}:65536B`
    : `none, or one of ${policyNames().join(', ')} with a limit, such as h2o:0.6`;
  return new ArgumentError(`${who}: expected ${expected}, got ${JSON.stringify(text)}${policy ? '' : suggestion(name)}`);
}
