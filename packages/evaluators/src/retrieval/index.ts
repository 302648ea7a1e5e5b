export type { RetrievalSample } from './retrieval-evaluator';
export { rulerTaskNames } from './ruler';
export type { RetrievalScore } from './summary';
