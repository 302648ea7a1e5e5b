// A spec as the command line, configurations and results files have it: in up to three fields.
import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import { formatCacheSpec, formatHead, formatLimit, isLimit, parseCacheSpec, parseHead, parseLimit, resolveCacheSpec, type CacheSpec, type FormattedSpec } from './cache-spec';
import { policyNamed, policyNames, suggestion } from './index';

/**
 * What evicts is the text of a spec in `eviction`. What coarsens is its bytes in `kvBudget` (or a share, such as `25%`), and in `kvPolicy` by what
 * tokens are ranked, `mean-attention` where it is left out, with sizes and `:evict` for `coarsen+evict`: `attention@2,4:evict`.
 */
export interface CacheFields {
  readonly eviction?: string | undefined;
  readonly kvBudget?: number | string | undefined;
  readonly kvPolicy?: string | undefined;
}

/** What fields are called in messages. */
export type FieldNames = Readonly<Record<keyof CacheFields, string>>;
const FIELDS: OptionNames<CacheFields> = { eviction: true, kvBudget: true, kvPolicy: true };
const NAMES: FieldNames = { eviction: 'eviction', kvBudget: 'kvBudget', kvPolicy: 'kvPolicy' };

const DEFAULT_POLICY = 'mean-attention';
/** What h2o is called where tokens are coarsened by it. */
const COARSENING_NAMES: Readonly<Record<string, string>> = { h2o: 'attention' };

/**
 * The spec of some fields; `none` where they say that nothing is evicted, undefined where they say nothing.
 * @throws ArgumentError naming the field that is wrong
 */
export function cacheOfFields(fields: CacheFields, names: FieldNames = NAMES): CacheSpec | 'none' | undefined {
  expectOptions('cacheOfFields', fields, FIELDS);
  const { eviction, kvBudget, kvPolicy } = fields;
  const evicting = eviction === undefined ? undefined : (parseCacheSpec(eviction, names.eviction) ?? 'none');
  if (typeof evicting === 'object' && resolveCacheSpec(evicting)!.action !== 'evict') {
    throw new ArgumentError(`${names.eviction}: expected what evicts, such as h2o:0.6 or h2o:50%:evict, got ${eviction}; to coarsen use ${names.kvBudget}`);
  }
  const ranked = parsePolicy(kvPolicy ?? DEFAULT_POLICY, names.kvPolicy);
  if (kvBudget === undefined) {
    if (kvPolicy === undefined) return evicting;
    throw new ArgumentError(`${names.kvPolicy}: expected ${names.kvBudget} with it, the bytes that it divides, got none`);
  }
  const limit = typeof kvBudget === 'number' ? { bytes: kvBudget } : parseLimit(/^\d+$/.test(kvBudget) ? `${kvBudget}B` : kvBudget);
  if (!limit || 'tokens' in limit || !isLimit(limit)) {
    throw new ArgumentError(`${names.kvBudget}: expected a whole number of bytes from 1, or a share such as 25%, got ${kvBudget}`);
  }
  if (typeof evicting === 'object') {
    throw new ArgumentError(`${names.kvBudget}: expected no ${names.eviction} beside it, got ${eviction}; a policy such as attention:evict evicts`);
  }
  const spec = { ...ranked, limit };
  resolveCacheSpec(spec, names.kvPolicy);
  return spec;
}

/** The fields of a spec or its text; none where there is none. */
export function fieldsOfCache(cache: string | CacheSpec | undefined): CacheFields {
  if (cache === undefined) return {};
  const spec = resolveCacheSpec(cache);
  if (spec === null || spec.action === 'evict') return { eviction: formatCacheSpec(spec) };
  const kvPolicy = formatPolicy(spec);
  return { kvBudget: 'bytes' in spec.limit ? spec.limit.bytes : formatLimit(spec.limit), ...(kvPolicy !== DEFAULT_POLICY && { kvPolicy }) };
}

/** `attention@2,4:evict` */
export function formatPolicy({ policy, sizes, seed = 0, action }: Omit<FormattedSpec, 'limit'>): string {
  const { name } = typeof policy === 'string' ? { name: policy } : policy;
  return [
    formatHead({ policy: COARSENING_NAMES[name] ?? name, sizes }), ...(seed === 0 ? [] : [seed]), ...(action === 'coarsen+evict' ? ['evict'] : []),
  ].join(':');
}

/** @throws ArgumentError when it is no text of {@link formatPolicy} */
export function parsePolicy(text: string, who: string): Omit<CacheSpec, 'limit'> {
  const [head, ...rest] = text.split(':');
  const { name, sizes } = parseHead(head!);
  const policy = policyNamed(who, name);
  const seed = rest[0] !== undefined && /^\d{1,9}$/.test(rest[0]) ? Number(rest.shift()) : 0;
  const evicts = rest[0] === 'evict';
  if (policy && rest.length === Number(evicts)) {
    return { policy: policy.name, ...(sizes && { sizes }), ...(seed !== 0 && { seed }), ...(evicts && { action: 'coarsen+evict' as const }) };
  }
  throw new ArgumentError(
    `${who}: expected one of ${policyNames().join(', ')}, alone or with group sizes and :evict (such as attention@2,4:evict), got ${JSON.stringify(text)}${suggestion(name)}`,
  );
}
