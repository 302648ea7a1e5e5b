export { encodeInstruction, encodePrompt, type EncodedInstruction, type EncodedPrompt, type EncodingOptions } from './encode';
export { formatPrompt, type Instruction, parseInstruction } from './instruction';
export type { InstructionSample } from './instruction-evaluator';
