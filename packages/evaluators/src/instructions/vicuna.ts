import { instructionEvaluator } from './instruction-evaluator';

/** The 80 questions of Vicuna (Chiang et al., 2023), in whose own file there are no references: those of MiniLLM's are GPT-4's. */
export const vicunaEvaluator = instructionEvaluator({
  name: 'vicuna',
  description: 'sampled responses to the questions of Vicuna, with their ROUGE-L where there are references',
  dataset: { repository: 'MiniLLM/Vicuna', file: 'valid.jsonl' },
  withoutReferences: true,
});
