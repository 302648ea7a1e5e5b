import { instructionEvaluator } from './instruction-evaluator';

/** The 252 user-oriented instructions of Self-Instruct (Wang et al., ACL 2023). */
export const selfInstructEvaluator = instructionEvaluator({
  name: 'self_instruct',
  description: 'ROUGE-L of sampled responses to the user-oriented instructions of Self-Instruct',
  dataset: { repository: 'MiniLLM/self-inst', file: 'valid.jsonl' },
});
