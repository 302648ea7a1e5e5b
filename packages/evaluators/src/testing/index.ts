export { BigramModel, type BigramOptions } from './bigram-model';
export { describeLanguageModel, describeLikelihoodModel, type ModelUnderTest } from './conformance';
export { describeEvaluator, type EvaluatorCase } from './describe-evaluator';
