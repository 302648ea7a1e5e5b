// What the calls of a decoder are given, checked before any work.
import { ArgumentError } from '@mixsga/backend';
import { formatCacheSpec, resolveCacheSpec } from '@mixsga/kv-cache';
import type { CacheOptions } from '../generation/decoder';

export interface Limits {
  readonly vocabularySize: number;
  readonly contextLength: number;
}

/** @param before tokens of the sequence that are cached */
export function expectTokens(who: string, tokens: Int32Array, before: number, { vocabularySize, contextLength }: Limits): void {
  if (tokens.length === 0) throw new ArgumentError(`${who}: expected at least one token, got none`);
  if (before + tokens.length > contextLength) {
    throw new ArgumentError(
      `${who}: expected at most ${contextLength} tokens in a sequence, got ${before + tokens.length}; shorten the prompt or ask for fewer`,
    );
  }
  const misfit = tokens.findIndex((token) => token < 0 || token >= vocabularySize);
  if (misfit >= 0) {
    throw new ArgumentError(
      `${who}: expected token ids from 0 to ${vocabularySize - 1}, got ${tokens[misfit]} at ${before + misfit}; is it this model's tokenizer?`,
    );
  }
}

/** @param collapsed a position, or undefined */
export function expectTargets(targets: Int32Array, rows: number, collapsed: number | undefined, { vocabularySize }: Limits): void {
  if (targets.length !== rows) throw new ArgumentError(`likelihood: expected a target for each of ${rows} tokens, got ${targets.length}`);
  const misfit = targets.find((target) => target >= vocabularySize);
  if (misfit !== undefined) {
    throw new ArgumentError(`likelihood: expected targets below ${vocabularySize}, got ${misfit}; is it this model's tokenizer?`);
  }
  if (collapsed !== undefined && !(Number.isInteger(collapsed) && collapsed >= 0 && collapsed < rows)) {
    throw new ArgumentError(`likelihood: expected collapsed to be a position from 0 to ${rows - 1}, got ${collapsed}`);
  }
}

export function expectPrompt(who: string, prompt: number, rows: number): void {
  if (Number.isInteger(prompt) && prompt >= 0 && prompt <= rows) return;
  throw new ArgumentError(`${who}: expected a prompt of 0 to ${rows} tokens, got ${prompt}`);
}

/** Policies rank all tokens that a layer's queries see. @param narrowest the least sliding window of all layers */
export function expectInWindow({ cache }: CacheOptions, maxTokens: number, narrowest: number): void {
  const spec = resolveCacheSpec(cache);
  if (spec === null || maxTokens <= narrowest) return;
  const limit = `the limit ${formatCacheSpec(spec)}`;
  throw new ArgumentError(
    `createCache: expected at most ${narrowest} tokens, the model's sliding window, with ${limit}, got ${maxTokens}; ` +
      'keep all tokens, or set maxTokens',
  );
}
