import { defineEvaluator } from './evaluator';
import { finite } from './finite';
import { disjointWindows } from './routing';
import { mean } from './statistics';

/** Windows that are measured where no number is asked for. */
const WINDOWS = 1;
/** A token whose change is below this counts as unimportant. */
const SMALL = 0.01;
/** Share of the tokens whose part in all changes is given. */
const TOP = 0.1;

export interface Item {
  readonly window: number;
  readonly tokens: Int32Array;
  /** Of the token whose keys and values are averaged; null for none. */
  readonly position: number | null;
}

export interface TokenImportanceSample {
  readonly window: number;
  readonly position: number | null;
  /** The token at the position. */
  readonly token: number | null;
  /** Mean of −log p over the window, nats. */
  readonly nll: number;
}

/** A window of which every token was collapsed in turn. */
export interface ImportanceOfWindow {
  readonly perplexity: number;
  readonly tokens: readonly string[];
  /** Relative change of the window's perplexity: 0.02 for 2 % more. */
  readonly changes: readonly number[];
}

/**
 * How much each token's own heads matter (the paper's Figure 1): the relative change of a window's perplexity when the keys and
 * values of one token are averaged over all heads, token by token. As many passes as there are tokens, so it takes a
 * single window unless `maxWindows` asks for more. `gini` and `top_10_percent_share` are of absolute changes.
 */
export const tokenImportance = defineEvaluator<Item, TokenImportanceSample>({
  name: 'token_importance',
  description: "change of perplexity when one token's keys and values are averaged over all heads, token by token",
  definition: 'relative change of the perplexity of a window, one token in multi-query attention (mixSGA, Figure 1)',
  version: 1,
  reads: 'tokens',
  higherIsBetter: [],
  items: (model, { tokens }, { windowLength, maxWindows = WINDOWS }) =>
    disjointWindows('token_importance', model, tokens!, { windowLength, maxWindows }).flatMap(({ tokens }, window) =>
      [null, ...Array.from({ length: tokens.length - 1 }, (_, position) => position)].map((position) => ({ window, tokens, position })),
    ),
  async measure(model, items, { routing, signal, onPart }) {
    const samples: TokenImportanceSample[] = [];
    for (const { window, tokens, position } of items) {
      signal?.throwIfAborted();
      const collapsed = position === null ? {} : { collapsed: position };
      const { nll } = await model.likelihood(tokens.slice(0, -1), tokens.slice(1), {
        windows: 1, routing, signal, onProgress: onPart && ((share) => onPart((samples.length + share) / items.length)), ...collapsed,
      });
      samples.push({ window, position, token: position === null ? null : tokens[position]!, nll: finite('token_importance', mean([...nll]), `window ${window}`) });
    }
    return samples;
  },
  summarise(samples, { tokenizer }, { routing }) {
    const windows = samples.filter(({ position }) => position === null).map(({ window, nll: whole }): ImportanceOfWindow => {
      const collapsed = samples.filter((sample) => sample.window === window && sample.position !== null);
      return {
        perplexity: Math.exp(whole),
        tokens: collapsed.map(({ token }) => tokenizer.decode([token!])),
        changes: collapsed.map(({ nll }) => Math.expm1(nll - whole)),
      };
    });
    const changes = windows.flatMap(({ changes }) => changes);
    const sizes = changes.map(Math.abs).sort((a, b) => b - a);
    const sum = sizes.reduce((a, b) => a + b, 0);
    const top = sizes.slice(0, Math.ceil(TOP * sizes.length)).reduce((a, b) => a + b, 0);
    return {
      metrics: {
        mean_change: mean(changes),
        share_below_1_percent: changes.filter((change) => Math.abs(change) < SMALL).length / changes.length,
        gini: gini(sizes),
        top_10_percent_share: sum === 0 ? null : top / sum,
      },
      details: { windows, routing },
    };
  },
});

/** Gini coefficient of values ≥ 0, largest first: 0 where all are equal; null where all are 0. */
function gini(values: readonly number[]): number | null {
  const sum = values.reduce((a, b) => a + b, 0);
  const n = values.length;
  return sum === 0 ? null : values.reduce((total, value, i) => total + (n - 1 - 2 * i) * value, 0) / (n * sum);
}
