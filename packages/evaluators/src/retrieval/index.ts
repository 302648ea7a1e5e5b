export { rulerTaskNames } from './ruler';
export type { RetrievalSample } from './sample';
export type { RetrievalScore } from './summary';
