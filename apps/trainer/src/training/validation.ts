import { type EvaluationOptions, kvAccounting, type LikelihoodModel, perplexity, routing } from '@mixsga/evaluators';

/** A value under each routing rule. */
export interface Both<T> {
  decode: T;
  prefill: T;
}

export interface Validation {
  /** Windowed token perplexity. */
  perplexity: Both<number>;
  /** Share of tokens to which both rules give the same expert; null where the model does not route. */
  agreement: number | null;
  /** Share of tokens of each expert, mean over layers; null where the model does not route. */
  realisedRatios: Both<number[]> | null;
  /** Share of the unmodified KV cache that those ratios cost; null where the model does not route. */
  realisedKvBudget: Both<number> | null;
}

/** How a validation goes through its text. */
export type ValidationOptions = Omit<EvaluationOptions, 'routing'>;

/** Measures a model on a text under both routing rules. */
export async function validate(model: LikelihoodModel, tokens: Int32Array, options: ValidationOptions): Promise<Validation> {
  const decode = await perplexity(model, tokens, { ...options, routing: 'decode' });
  const routed = await routing(model, tokens, options);
  if (routed === null) {
    const same = decode.perplexity;
    return { perplexity: { decode: same, prefill: same }, agreement: null, realisedRatios: null, realisedKvBudget: null };
  }
  const prefill = await perplexity(model, tokens, { ...options, routing: 'prefill' });
  const realised = kvAccounting(model, routed).realised!;
  return {
    perplexity: { decode: decode.perplexity, prefill: prefill.perplexity },
    agreement: routed.agreement,
    realisedRatios: routed.ratios,
    realisedKvBudget: { decode: realised.decode.kvBudget, prefill: realised.prefill.kvBudget },
  };
}

/** The numbers of a validation as metrics of a training curve. */
export function validationMetrics({ perplexity, agreement }: Validation): Record<string, number> {
  return { decode: perplexity.decode, prefill: perplexity.prefill, ...(agreement === null ? {} : { agreement }) };
}
