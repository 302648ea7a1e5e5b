import { ArgumentError } from '@mixsga/backend';
import { knownAttention, parseAttention } from '@mixsga/models';
import { type RouterFactory, routers } from '@mixsga/router';

import { budgetText } from './format';
import type { MethodSummary } from './summary';

type Variant = ReturnType<typeof parseAttention>;

/** The names of a report's methods and the words in them, a line of Markdown each. */
export function nameLines(methods: readonly MethodSummary[]): string[] {
  const variants = methods.map(({ attention }) => variantOf(attention));
  const lines = methods.map((method, i) => `**${method.name}** (\`${method.attention}\`): ${[methodText(method.attention, variants[i]!), ...wordsOf(method, variants[i]!)].join('; ')}.`);
  const terms: [string, boolean, string][] = [
    ['aligned', methods.some(({ align }) => align), 'before heads are grouped they are permuted and rotated so that those of a group are alike; the unmodified model computes the same'],
    ['over the root', variants.some((variant) => variant?.formats.grouping?.pooling === 'root'), 'the sum of g heads is divided by √g instead of g, so that keys and values have the same scale in every group size; a change of this project to the method'],
    ...Object.entries<RouterFactory>(routers).map(([kind, { description }]): [string, boolean, string] => [`${kind} router`, methods.some(({ router, realisedRatios }) => realisedRatios !== null && (router ?? 'sigmoid') === kind), `chooses by ${description}`]),
    ['consistency loss', methods.some(({ realisedRatios }) => realisedRatios !== null), 'trains the router to give each token alone the expert that expert choice gives it among all tokens; α is its weight'],
  ];
  return [...lines, ...terms.filter(([, used]) => used).map(([term, , text]) => `**${term}**: ${text}.`)];
}

/** Null for a variant of another version, or of a package that is not there. */
function variantOf(attention: string): Variant | null {
  try {
    return parseAttention(attention);
  } catch (error) {
    if (ArgumentError.isInstance(error)) return null;
    throw error;
  }
}

function methodText(attention: string, variant: Variant | null): string {
  if (variant === null) return 'an attention variant that is not known here';
  const { experts, formats: { grouping }, kvShare: kvBudget } = variant;
  const kept = `${budgetText(Number(kvBudget.toFixed(4)))} of the KV cache in all`;
  if (experts) {
    const sizes = grouping ? experts.sizes.map(headsText) : experts.sizes.map((size) => `1/${size} of the dimensions`);
    const shares = experts.ratios.map((ratio, e) => `${budgetText(Number(ratio.toFixed(4)))} ${e === 0 ? 'of the tokens keep ' : ''}${sizes[e]}`);
    return `a router sends each token to one of ${sizes.length} experts: ${shares.join(', ')}; ${kept}`;
  }
  if (grouping && kvBudget === 1) return 'multi-head attention as in the unmodified model, with the whole KV cache: a ceiling, not a rival';
  const shared = layersThatShare(variant);
  if (shared > 1) return `cross-layer attention: each ${shared} layers share the keys and values of the first; ${kept}`;
  if (grouping) return `grouped-query attention: of each ${Math.round(1 / kvBudget)} KV heads one is left, for all tokens alike; ${kept}`;
  const kind = knownAttention().get(attention.split(':')[0]!);
  return `${kind ? kind.description.split(';')[0]!.replace('SIZE', String(Math.round(1 / kvBudget))) : 'an attention variant of another package'}; ${kept}`;
}

function headsText(size: number): string {
  return size === 1 ? 'all KV heads' : `one head for each ${size}`;
}

/** Layers that attend to the keys and values of one of them. */
function layersThatShare({ kvSource }: Variant): number {
  let layer = 1;
  while (layer < 1024 && kvSource(layer) === 0) layer++;
  return layer;
}

function wordsOf({ align, router, ablation, realisedRatios }: MethodSummary, variant: Variant | null): string[] {
  return [
    ...(variant?.formats.grouping?.pooling === 'root' ? ['over the root'] : []),
    ...(align ? ['aligned'] : []),
    ...(realisedRatios !== null && router !== null ? [`${router} router`] : []),
    ...(ablation === 'no consistency loss' ? ['no consistency loss (α = 0): the router is not trained'] : []),
  ];
}
