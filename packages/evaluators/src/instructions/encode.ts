import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';

import type { EvaluationTokenizer } from '../language-model';
import { formatPrompt, type Instruction } from './instruction';

/** Longest prompt and longest text, in tokens, of MiniLLM and of the paper. */
export const MAX_PROMPT_TOKENS = 256;
export const MAX_TOKENS = 512;

export interface EncodedPrompt {
  readonly prompt: number[];
  /** Whether the prompt was longer: its first tokens are kept, as MiniLLM does when it evaluates. */
  readonly promptCut: boolean;
}

/** The prompt of an instruction in the template, without special tokens, at most `maxPromptTokens` long. */
export function encodePrompt(
  tokenizer: EvaluationTokenizer,
  instruction: Pick<Instruction, 'instruction' | 'input'>,
  maxPromptTokens = MAX_PROMPT_TOKENS,
): EncodedPrompt {
  const prompt = tokenizer.encode(formatPrompt(instruction), { addSpecialTokens: false });
  return { prompt: prompt.slice(0, maxPromptTokens), promptCut: prompt.length > maxPromptTokens };
}

export interface EncodingOptions {
  /** The token that ends a response. */
  readonly eos: number;
  /** Default 256. */
  readonly maxPromptTokens?: number;
  /** Of prompt and response together. Default 512. */
  readonly maxTokens?: number;
}

const OPTIONS: OptionNames<EncodingOptions> = { eos: true, maxPromptTokens: true, maxTokens: true };

export interface EncodedInstruction extends EncodedPrompt {
  /** Of the first response, EOS at its end: what the loss is of. A response that is cut has no EOS. */
  readonly response: number[];
}

/**
 * An instruction to train on, as MiniLLM has it: prompt and response are tokenised together and split where the tokens of the prompt
 * alone end. (MiniLLM leaves a row out of training whose prompt is longer; `promptCut` says so.)
 *
 * @throws ArgumentError when the instruction has no response, or the lengths leave no place for one
 */
export function encodeInstruction(
  tokenizer: EvaluationTokenizer,
  instruction: Instruction,
  options: EncodingOptions,
): EncodedInstruction {
  expectOptions('encodeInstruction', options, OPTIONS);
  const { eos, maxPromptTokens = MAX_PROMPT_TOKENS, maxTokens = MAX_TOKENS } = options;
  const [response] = instruction.responses;
  if (response === undefined) throw new ArgumentError('encodeInstruction: expected an instruction with a response, got none');
  if (!(maxPromptTokens >= 1 && maxPromptTokens < maxTokens)) {
    throw new ArgumentError(`encodeInstruction: expected maxPromptTokens from 1 to below maxTokens, got ${maxPromptTokens} and ${maxTokens}`);
  }
  const { prompt: whole } = encodePrompt(tokenizer, instruction, Infinity);
  const text = tokenizer.encode(formatPrompt(instruction) + response, { addSpecialTokens: false });
  const prompt = whole.slice(0, maxPromptTokens);
  return {
    prompt,
    promptCut: prompt.length < whole.length,
    response: [...text.slice(whole.length), eos].slice(0, maxTokens - prompt.length),
  };
}
