import { instructionEvaluator } from './instruction-evaluator';

/** The test tasks of Super-NaturalInstructions (Wang et al., EMNLP 2022) with responses of 11 or more tokens. */
export const sNiEvaluator = instructionEvaluator({
  name: 's_ni',
  description: 'ROUGE-L of sampled responses to Super-NaturalInstructions, responses of 11 or more tokens',
  dataset: { repository: 'MiniLLM/sinst', file: '11_/valid.jsonl' },
  minResponseTokens: 11,
});
