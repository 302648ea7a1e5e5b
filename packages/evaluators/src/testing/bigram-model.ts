import type { KvTraits, LayerRouting } from '@mixsga/backend';
import type { StreamedNll, StreamOptions } from '@mixsga/kv-cache';

import type {
  EvaluatedGeneration,
  EvaluationTokenizer,
  GenerationOptions,
  LanguageModel,
  Likelihood,
  LikelihoodOptions,
  WindowsOptions,
} from '../language-model';
import { characterTokenizer, type CharacterTokenizerOptions } from './character-tokenizer';

export interface BigramOptions extends CharacterTokenizerOptions {
  /** Natural logarithms of the odds of each next token: row = token, column = next token; any shift of a row will do. */
  readonly logits: readonly (readonly number[])[];
  readonly contextLength?: number;
  /** Group size of each expert; more than one makes the model route. */
  readonly groupSizes?: readonly number[];
  readonly ratios?: readonly number[];
  /** Layers that route, where there is more than one expert. */
  readonly layers?: number;
}

/** Speeds that every generation reports. */
const PREFILL_TOKENS_PER_SECOND = 1000;
const TOKENS_PER_SECOND = 100;

/**
 * The smallest language model with a known distribution: the next token depends on the last one only, by a table.
 * Its routing is as plain: in layer l, with E experts, prefill gives position t the expert t mod E, and decode
 * gives token i the expert (i + l) mod E. A collapsed token i costs each prediction from its place on i / 100 nats.
 * Text is a token for each character. No cache evicts, whatever policy is named. For tests and examples.
 */
export class BigramModel implements LanguageModel {
  readonly contextLength: number;
  readonly kv: KvTraits;
  readonly vocabularySize: number;
  readonly tokenizer: EvaluationTokenizer;
  readonly prefixToken: number;
  readonly stopTokens: readonly number[];
  /** −log p of each next token, nats. */
  readonly #table: readonly (readonly number[])[];
  readonly #layers: number;

  constructor({ logits, contextLength = 16, groupSizes = [1], ratios = [1], layers = 1, ...text }: BigramOptions) {
    this.contextLength = contextLength;
    this.vocabularySize = logits.length;
    this.tokenizer = characterTokenizer(logits.length, text);
    this.prefixToken = text.bos ?? 0;
    this.stopTokens = [this.prefixToken];
    this.#layers = groupSizes.length > 1 ? layers : 0;
    this.#table = logits.map((row) => {
      const logSum = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      return row.map((logit) => logSum - logit);
    });
    const budget = ratios.reduce((sum, ratio, e) => sum + ratio / groupSizes[e]!, 0);
    this.kv = { bytesPerToken: 1024 * budget, bytesPerTokenFull: 1024, budget, groupSizes, ratios };
  }

  likelihood(inputs: Int32Array, targets: Int32Array, { windows, collapsed }: LikelihoodOptions): Promise<Required<Likelihood>> {
    const length = inputs.length / windows;
    const greedy = Uint8Array.from(inputs, (input, i) => Number(this.likeliest(input) === targets[i]));
    const nll = Float32Array.from(inputs, (input, i) => {
      const t = i % length;
      const extra = collapsed !== undefined && t >= collapsed ? inputs[i - t + collapsed]! / 100 : 0;
      return this.#table[input]![targets[i]!]! + extra;
    });
    return Promise.resolve({ nll, greedy });
  }

  routingOf(inputs: Int32Array, { windows }: WindowsOptions): Promise<LayerRouting[]> {
    const length = inputs.length / windows;
    const experts = this.kv.ratios.length;
    return Promise.resolve(
      Array.from({ length: this.#layers }, (_, layer) => ({
        prefill: inputs.map((_, i) => (i % length) % experts),
        decode: inputs.map((token) => (token + layer) % experts),
      })),
    );
  }

  async streamNll(inputs: Int32Array, targets: Int32Array, { windows }: StreamOptions): Promise<StreamedNll> {
    const { nll } = await this.likelihood(inputs, targets, { windows, routing: 'decode' });
    return { nll, kvBytesUsed: Array.from({ length: windows }, () => (this.kv.bytesPerToken * inputs.length) / windows) };
  }

  generate(prompts: readonly ArrayLike<number>[], options: GenerationOptions): EvaluatedGeneration {
    const { maxNewTokens, stopTokens = [], temperature = 1, seeds = [], signal } = options;
    const made: number[][] = prompts.map(() => []);
    const { kv, contextLength } = this;
    const next = (last: number, random: () => number) => (temperature === 0 ? this.likeliest(last) : this.#draw(last, temperature, random()));
    return {
      tokens: (sequence) => [...made[sequence]!],
      async *[Symbol.asyncIterator]() {
        for (const [sequence, prompt] of prompts.entries()) {
          if (prompt.length + maxNewTokens > contextLength) {
            throw new RangeError(`${prompt.length} + ${maxNewTokens} tokens do not fit into ${contextLength}`);
          }
          const random = numbers(seeds[sequence] ?? sequence);
          let token = prompt[prompt.length - 1]!;
          do {
            await Promise.resolve();
            signal?.throwIfAborted();
            token = next(token, random);
            made[sequence]!.push(token);
            yield { sequence, token };
          } while (made[sequence]!.length < maxNewTokens && !stopTokens.includes(token));
        }
      },
      stats: () => {
        const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
        const newTokens = made.flat().length;
        const cached = prompts.flatMap((prompt, sequence) => [...Array.from(prompt), ...made[sequence]!.slice(0, -1)]);
        return {
          promptTokens,
          newTokens,
          prefillTokensPerSecond: PREFILL_TOKENS_PER_SECOND,
          tokensPerSecond: TOKENS_PER_SECOND,
          tokensSeen: cached.length,
          kvBytesUsed: kv.bytesPerToken * cached.length,
          kvBytesAllocated: 2 * kv.bytesPerToken * cached.length,
          expertCounts: kv.ratios.map((_, e) => cached.filter((token) => token % kv.ratios.length === e).length),
        };
      },
    };
  }

  /** The likeliest token after another. */
  likeliest(token: number): number {
    const row = this.#table[token]!;
    return row.indexOf(Math.min(...row));
  }

  #draw(token: number, temperature: number, u: number): number {
    const odds = this.#table[token]!.map((nll) => Math.exp(-nll / temperature));
    let left = u * odds.reduce((sum, p) => sum + p, 0);
    return Math.max(0, odds.findIndex((p) => (left -= p) < 0));
  }
}

/** Random numbers in [0, 1): mulberry32. */
function numbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
