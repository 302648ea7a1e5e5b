export { type EvaluatorName, evaluatorNamed, evaluatorNames, evaluators, registerEvaluator } from './catalog';
export {
  type DataRow,
  DEFAULT_BATCH_SIZE,
  defineEvaluator,
  type EvaluationData,
  type EvaluationOptions,
  type Evaluator,
  type GenerationSettings,
  isHigherBetter,
  type MakeRows,
  type PublishedDataset,
  type RetrievalSettings,
  type RowSources,
  type Summary,
} from './evaluator';
export * from './harness';
export * from './instructions';
export * from './judge';
export { type CacheUse, kvAccounting, type KvResult } from './kv-accounting';
export type {
  EvaluatedGeneration,
  EvaluatedGenerationStats,
  EvaluationTokenizer,
  GenerationOptions,
  LanguageModel,
  Likelihood,
  LikelihoodModel,
  LikelihoodOptions,
  WindowsOptions,
} from './language-model';
export { tokensOfText } from './log-likelihood';
export { joinDocuments, perplexity, type PerplexityResult } from './perplexity';
export * from './retrieval';
export { routing, type RoutingResult, type RoutingSummary, type TokenExperts } from './routing';
export * from './rouge';
export type { KvTraits, LayerRouting, Routing, WorkOptions } from '@mixsga/backend';
export type { StreamedNll, StreamOptions } from '@mixsga/kv-cache';
export { type Evaluation, type EvaluationProgress, runEvaluator, type RunOptions, type SampleStore } from './run';
export { median, quantile, spread, type Spread } from './statistics';
export type { ThroughputSample } from './throughput';
export type { ImportanceOfWindow, TokenImportanceSample } from './token-importance';
export type { WindowOptions } from './windows';
