export { type EvaluatorName, evaluatorNamed, evaluators } from './catalog';
export type { EvaluationOptions, Evaluator } from './evaluator';
export { kvAccounting, type KvResult } from './kv';
export type { KvTraits, LanguageModel, LayerRouting, Routing, StreamOptions } from './language-model';
export { joinDocuments, perplexity, type PerplexityOptions, type PerplexityResult } from './perplexity';
export { routing, type RoutingResult, type RoutingSummary } from './routing';
export type { WindowOptions } from './windows';
