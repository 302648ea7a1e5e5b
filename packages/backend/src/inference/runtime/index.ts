// What inference needs of a backend: one implementation for each way of computing; `createRuntime` picks that of the active backend.
import type { PromptRuntime } from './prompts';
import type { TokenRuntime } from './tokens';
import type { VectorRuntime } from './vectors';

export * from './prompts';
export * from './tokens';
export * from './vectors';

export interface InferenceRuntime extends VectorRuntime, TokenRuntime, PromptRuntime {}
