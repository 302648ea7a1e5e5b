export { BigramModel, type BigramOptions } from './bigram-model';
export { describeLanguageModel, type ModelUnderTest } from './conformance';
