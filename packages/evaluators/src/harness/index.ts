export { type ParsedResults, parseHarnessResults, type ParsedTask } from './parse-results';
export {
  harnessResults,
  type HarnessResults,
  type MeasuredModel,
  type MeasuredTask,
  type MixsgaResults,
  type MixsgaTask,
  resultsFileName,
  type RunTime,
  samplesFileName,
} from './results';
export type { HarnessSample } from './sample';
