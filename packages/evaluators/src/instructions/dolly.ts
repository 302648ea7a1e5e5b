import { instructionEvaluator } from './instruction-evaluator';

/** The 500 rows of databricks-dolly-15k that MiniLLM and the paper test on. */
export const dollyEvaluator = instructionEvaluator({
  name: 'dolly',
  description: 'ROUGE-L of sampled responses to the test instructions of databricks-dolly-15k',
  dataset: { repository: 'MiniLLM/dolly', file: 'valid.jsonl' },
});
