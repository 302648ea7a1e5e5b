import { instructionEvaluator } from './instruction-evaluator';

/** The first 10,000 of Unnatural Instructions (Honovich et al., ACL 2023) with responses of 11 or more tokens. */
export const unNiEvaluator = instructionEvaluator({
  name: 'un_ni',
  description: 'ROUGE-L of sampled responses to Unnatural Instructions, responses of 11 or more tokens',
  dataset: { repository: 'MiniLLM/uinst', file: '11_/valid.jsonl' },
  minResponseTokens: 11,
  maxRows: 10_000,
});
