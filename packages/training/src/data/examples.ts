import { expectOptions, Turns } from '@mixsga/backend';
import { type DataRow, encodeInstruction, type EvaluationTokenizer, type Instruction } from '@mixsga/evaluators';

export interface InstructionRow {
  readonly row: DataRow;
  readonly instruction: Instruction;
}

/** Prompt and response as one sequence. */
export interface Example {
  /** Token ids: those of the prompt, the response and EOS. */
  readonly tokens: Int32Array;
  /** Tokens of the prompt. */
  readonly prompt: number;
}

export interface ExampleOptions {
  /** The token that ends a response. */
  readonly eos: number;
  readonly maxPromptTokens: number;
  /** Of prompt and response together: a response that is longer is cut, and has no EOS. */
  readonly maxTokens: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Instructions in the template as tokens, while others have their turn. As in MiniLLM, a row whose prompt is longer than the limit is
 * left out.
 */
export async function encodeExamples(
  rows: readonly InstructionRow[], tokenizer: EvaluationTokenizer, options: ExampleOptions,
): Promise<Example[]> {
  expectOptions('encodeExamples', options, { eos: true, maxPromptTokens: true, maxTokens: true, signal: true });
  const { signal, ...encoding } = options;
  const examples: Example[] = [];
  const turns = new Turns(signal);
  for (const { instruction } of rows) {
    const { prompt, response, promptCut } = encodeInstruction(tokenizer, instruction, encoding);
    if (!promptCut) examples.push({ tokens: Int32Array.from([...prompt, ...response]), prompt: prompt.length });
    if (turns.due) await turns.take();
  }
  return examples;
}
