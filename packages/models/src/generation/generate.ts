import { ArgumentError, DeviceLostError, expectOptions, nextTask, type OptionNames } from '@mixsga/backend';
import { CACHE_SPEC, resolveCacheSpec, type CacheSpec, type KvCache } from '@mixsga/kv-cache';
import type { Tokenizer } from '../tokenizers/tokenizer';
import type { Decoder, StepOutput } from './decoder';
import { Sampler, type SamplingOptions, validateSampling } from './sampling';
import { TextStream } from './text-stream';

/** How often a generation goes on after a lost device. */
const RECOVERIES = 3;

export interface GenerateOptions extends SamplingOptions {
  /** Of the draws; sequence i of a batch draws from seed + i, as it does alone with that seed. Default 0. */
  readonly seed?: number;
  /** A seed for each prompt, in place of `seed`: what is drawn does not depend on a prompt's place in the batch. */
  readonly seeds?: readonly number[];
  /** Tokens after the prompt, `generated` counted, at most. Default: what the context length leaves. */
  readonly maxNewTokens?: number;
  /** Tokens that end a sequence, such as EOS. Default: none. */
  readonly stopTokens?: readonly number[];
  /** Texts that end a sequence; they need a tokenizer. */
  readonly stopStrings?: readonly string[];
  /** Turns tokens into the `text` of events. */
  readonly tokenizer?: Pick<Tokenizer, 'decode'>;
  /**
   * For each prompt, tokens after it that a generation of the same options made before it broke off. This one goes on as that
   * would have, up to rounding; with a limit of the cache, which sees them in one pass, not to the token. A sequence that they
   * end already gives no event.
   */
  readonly generated?: readonly ArrayLike<number>[];
  /** What keeps the cache of each sequence small, or its text, such as `h2o:0.6` or `mean-attention:65536B`. Default: no limit. */
  readonly cache?: string | CacheSpec;
  /**
   * For each prompt, how many of its first tokens are context, which is taken in first; the others follow one by one. What a limit of the cache
   * leaves of the context, and which experts its tokens get, then does not depend on them. Default: a prompt is taken in at once.
   */
  readonly contextTokens?: readonly number[];
  /** Aborts between two tokens, or within about a tenth of a second in a prompt: the iteration rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How much of the pass over a prompt is done, from 0 to 1; not called where that is short. */
  readonly onPrefill?: (sequence: number, done: number) => void;
  /** Called after each pass with every cache that it took tokens into: to look at, such as for the experts, before the events. */
  readonly onPass?: (sequence: number, cache: KvCache) => void;
  /** After a lost device, at most 3 times: the same model on another device, to go on with. The caller disposes it. */
  readonly recover?: (error: DeviceLostError) => Promise<Decoder>;
}

const OPTIONS: OptionNames<GenerateOptions> = {
  temperature: true, topK: true, topP: true, repetitionPenalty: true, noRepeatNgramSize: true, seed: true, seeds: true, maxNewTokens: true,
  stopTokens: true, stopStrings: true, tokenizer: true, generated: true, contextTokens: true, cache: CACHE_SPEC, signal: true,
  onPrefill: true, onPass: true, recover: true,
};
const { tokenizer: _tokenizer, generated: _generated, contextTokens: _context, ...TEXT_OPTIONS } = OPTIONS;

/** Why a sequence ended: a token of `stopTokens`, a stop string, or `maxNewTokens`. */
export type Finish = 'eos' | 'stop' | 'length';

/** A new token of a sequence. */
export interface GenerationEvent {
  /** Number of the prompt. */
  readonly sequence: number;
  readonly token: number;
  /** The text that became certain by it, in whole characters; '' without a tokenizer. All texts together are the text. */
  readonly text: string;
  /** Not null in the last event of a sequence. */
  readonly finish: Finish | null;
}

/** What a generation did, all sequences together; those of caches as they are, or were when their sequence ended. */
export interface GenerationStats {
  readonly promptTokens: number;
  /** Tokens generated, `generated` not counted. */
  readonly newTokens: number;
  /** Tokens a second through prefill; null before there was one. */
  readonly prefillTokensPerSecond: number | null;
  /** Tokens a second in decode steps; null before there was one. */
  readonly tokensPerSecond: number | null;
  /** Tokens that went into the caches: all but the last of each sequence. */
  readonly tokensSeen: number;
  /** Those that the policy left in a layer. */
  readonly tokensKept: number;
  readonly kvBytesUsed: number;
  readonly kvBytesAllocated: number;
  /** Kept tokens by expert, summed over layers; where tokens are coarsened by format, see `KvCache.formats`. */
  readonly expertCounts: readonly number[];
}

/**
 * Generates from one or more prompts, which may differ in length. Each prompt is routed by expert choice, in a pass of its own;
 * then all sequences go on together, token by token, each token routed by its own arg max.
 *
 * ```js
 * for await (const { text } of generate(decoder, [ids], { maxNewTokens: 50, tokenizer })) process.stdout.write(text);
 * ```
 *
 * @param prompts token ids
 * @returns an iterable of events, to be run through once; breaking out of it frees the caches
 * @throws ArgumentError for a prompt or option that is out of range, before any work
 */
export function generate(decoder: Decoder, prompts: readonly ArrayLike<number>[], options: GenerateOptions = {}): Generation {
  return new Generation(decoder, prompts, options);
}

/** The text after one prompt. @throws as {@link generate} */
export async function generateText(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompt: string,
  options: Omit<GenerateOptions, 'tokenizer' | 'generated' | 'contextTokens'> = {},
): Promise<{ text: string; tokens: number[]; finish: Finish; stats: GenerationStats }> {
  expectOptions('generateText', options, TEXT_OPTIONS);
  const generation = generate(decoder, [await tokenizer.encodeLong(prompt, { signal: options.signal })], { ...options, tokenizer });
  let text = '';
  let finish: Finish = 'length';
  for await (const event of generation) {
    text += event.text;
    finish = event.finish ?? finish;
  }
  return { text, tokens: generation.tokens(0), finish, stats: generation.stats() };
}

interface Sequence {
  readonly index: number;
  readonly prompt: Int32Array;
  /** Tokens after the prompt. */
  readonly tokens: number[];
  /** Of how many there may be. */
  readonly limit: number;
  readonly sampler: Sampler;
  readonly text: TextStream | null;
  finish: Finish | null;
  cache: KvCache | null;
  /** Of the last cache, when it has been disposed. */
  usage: CacheUsage | null;
}

type CacheUsage = Pick<GenerationStats, 'tokensSeen' | 'tokensKept' | 'kvBytesUsed' | 'kvBytesAllocated' | 'expertCounts'>;

/** A run of {@link generate}. */
export class Generation implements AsyncIterable<GenerationEvent> {
  #decoder: Decoder;
  readonly #options: GenerateOptions;
  readonly #stopTokens: ReadonlySet<number>;
  readonly #sequences: readonly Sequence[];
  #started = false;
  #recoveries = 0;
  #newTokens = 0;
  readonly #prefill = { tokens: 0, milliseconds: 0 };
  readonly #decode = { tokens: 0, milliseconds: 0 };

  /** See {@link generate}. */
  constructor(decoder: Decoder, prompts: readonly ArrayLike<number>[], options: GenerateOptions) {
    validate(decoder, prompts, options);
    this.#decoder = decoder;
    this.#options = options;
    this.#stopTokens = new Set(options.stopTokens);
    this.#sequences = prompts.map((prompt, index) => this.#sequence(Int32Array.from(prompt), index));
  }

  /** The tokens after a prompt so far, those of `generated` among them: what another generation can go on from. */
  tokens(sequence: number): number[] {
    return [...this.#sequences[sequence]!.tokens];
  }

  stats(): GenerationStats {
    const caches = this.#sequences.flatMap(({ cache, usage }) => (cache ? usageOf(cache) : (usage ?? [])));
    const sum = (pick: (usage: CacheUsage) => number) => caches.reduce((total, usage) => total + pick(usage), 0);
    return {
      promptTokens: this.#sequences.reduce((total, { prompt }) => total + prompt.length, 0),
      newTokens: this.#newTokens,
      prefillTokensPerSecond: perSecond(this.#prefill),
      tokensPerSecond: perSecond(this.#decode),
      tokensSeen: sum(({ tokensSeen }) => tokensSeen),
      tokensKept: sum(({ tokensKept }) => tokensKept),
      kvBytesUsed: sum(({ kvBytesUsed }) => kvBytesUsed),
      kvBytesAllocated: sum(({ kvBytesAllocated }) => kvBytesAllocated),
      expertCounts: (caches[0]?.expertCounts ?? []).map((_, expert) => sum(({ expertCounts }) => expertCounts[expert]!)),
    };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationEvent, void, undefined> {
    if (this.#started) throw new ArgumentError('generate: expected to be run through once; call generate again');
    this.#started = true;
    try {
      for (;;) {
        try {
          return yield* this.#onOneDecoder();
        } catch (error) {
          await this.#recover(error);
        }
      }
    } finally {
      for (const sequence of this.#sequences) release(sequence);
    }
  }

  async *#onOneDecoder(): AsyncGenerator<GenerationEvent, void, undefined> {
    for (const sequence of this.#unfinished()) yield* this.#accept([sequence], await this.#start(sequence));
    for (let going = this.#unfinished(); going.length > 0; going = this.#unfinished()) {
      yield* this.#accept(going, await this.#step(going));
    }
  }

  async #start(sequence: Sequence): Promise<StepOutput> {
    await this.#turn();
    const { prompt, tokens, limit, sampler } = sequence;
    const { signal, onPrefill, contextTokens } = this.#options;
    const cache = this.#decoder.createCache({ cache: this.#options.cache, maxTokens: prompt.length + limit });
    sequence.cache = cache;
    const text = new Int32Array(prompt.length + tokens.length);
    text.set(prompt);
    text.set(tokens, prompt.length);
    const first = contextTokens ? text.subarray(0, contextTokens[sequence.index]) : text;
    let output = await timed(this.#prefill, first.length, () =>
      this.#decoder.prefill(first, cache, {
        promptTokens: Math.min(first.length, prompt.length), want: sampler.want, signal, onProgress: onPrefill && ((done) => onPrefill(sequence.index, done)),
      }),
    );
    for (let at = first.length; at < text.length; at++) {
      await this.#turn();
      output = await timed(this.#decode, 1, () => this.#decoder.step(text.subarray(at, at + 1), [cache], { want: sampler.want }));
    }
    this.#options.onPass?.(sequence.index, cache);
    return output;
  }

  async #step(sequences: readonly Sequence[]): Promise<StepOutput> {
    await this.#turn();
    const tokens = Int32Array.from(sequences, (sequence) => sequence.tokens.at(-1)!);
    const caches = sequences.map(({ cache }) => cache!);
    const { want } = sequences[0]!.sampler;
    const output = await timed(this.#decode, tokens.length, () => this.#decoder.step(tokens, caches, { want }));
    sequences.forEach(({ index }, row) => this.#options.onPass?.(index, caches[row]!));
    return output;
  }

  /** Lets others have their turn, the one who aborts among them. */
  async #turn(): Promise<void> {
    await nextTask();
    this.#options.signal?.throwIfAborted();
  }

  /** Chooses all tokens before the first event, since the logits are valid until the next call only. */
  #accept(sequences: readonly Sequence[], { argMax, logits: values }: StepOutput): GenerationEvent[] {
    const size = this.#decoder.vocabularySize;
    this.#newTokens += sequences.length;
    return sequences.map((sequence, row) => {
      const token = argMax ? argMax[row]! : sequence.sampler.next(values!.subarray(row * size, (row + 1) * size));
      const text = this.#append(sequence, token);
      if (sequence.finish !== null) release(sequence);
      return { sequence: sequence.index, token, text, finish: sequence.finish };
    });
  }

  /** Gives the text that the token makes certain, and notices the end of the sequence. */
  #append(sequence: Sequence, token: number): string {
    const { text, tokens, limit } = sequence;
    tokens.push(token);
    const isStop = this.#stopTokens.has(token);
    let certain = isStop || !text ? '' : text.push(token);
    if (isStop) sequence.finish = 'eos';
    else if (text?.stopped) sequence.finish = 'stop';
    else if (tokens.length === limit) sequence.finish = 'length';
    if (text && sequence.finish !== null) certain += text.end();
    return certain;
  }

  #unfinished(): Sequence[] {
    return this.#sequences.filter(({ finish }) => finish === null);
  }

  async #recover(error: unknown): Promise<void> {
    const { recover } = this.#options;
    if (!recover || !DeviceLostError.isInstance(error) || this.#recoveries === RECOVERIES) throw error;
    this.#recoveries += 1;
    for (const sequence of this.#sequences) release(sequence);
    this.#decoder = await recover(error);
  }

  #sequence(prompt: Int32Array, index: number): Sequence {
    const { maxNewTokens, tokenizer, stopStrings, generated, seed = 0, seeds } = this.#options;
    const earlier = Array.from(generated?.[index] ?? []);
    const sequence: Sequence = {
      index,
      prompt,
      tokens: [],
      limit: maxNewTokens ?? this.#decoder.contextLength - prompt.length,
      sampler: new Sampler({ ...this.#options, seed: seeds ? seeds[index]! : seed + index }, prompt, earlier),
      text: tokenizer ? new TextStream(tokenizer, stopStrings, prompt) : null,
      finish: null,
      cache: null,
      usage: null,
    };
    for (const token of earlier) this.#append(sequence, token);
    return sequence;
  }
}

function release(sequence: Sequence): void {
  if (!sequence.cache) return;
  sequence.usage = usageOf(sequence.cache);
  sequence.cache.dispose();
  sequence.cache = null;
}

function usageOf(cache: KvCache): CacheUsage {
  const { used, allocated } = cache.bytes();
  return {
    tokensSeen: cache.tokensSeen,
    tokensKept: cache.tokensKept(0),
    kvBytesUsed: used,
    kvBytesAllocated: allocated,
    expertCounts: cache.expertCounts(),
  };
}

async function timed<T>(total: { tokens: number; milliseconds: number }, tokens: number, work: () => Promise<T>): Promise<T> {
  const begin = performance.now();
  const result = await work();
  total.milliseconds += performance.now() - begin;
  total.tokens += tokens;
  return result;
}

function perSecond({ tokens, milliseconds }: { tokens: number; milliseconds: number }): number | null {
  return tokens === 0 ? null : (1000 * tokens) / milliseconds;
}

function validate(decoder: Decoder, prompts: readonly ArrayLike<number>[], options: GenerateOptions): void {
  expectOptions('generate', options, OPTIONS);
  validateSampling(options);
  const { maxNewTokens, stopTokens = [], stopStrings = [], tokenizer, generated, contextTokens, seed, seeds } = options;
  const { contextLength } = decoder;
  if (maxNewTokens !== undefined && !(Number.isInteger(maxNewTokens) && maxNewTokens >= 1)) {
    throw new ArgumentError(`generate: expected maxNewTokens to be a whole number from 1, got ${maxNewTokens}`);
  }
  if (prompts.length === 0) throw new ArgumentError('generate: expected 1 prompt or more, got none');
  if (generated && generated.length !== prompts.length) {
    throw new ArgumentError(`generate: expected generated tokens for each of ${prompts.length} prompts, got ${generated.length}`);
  }
  if (seeds && seeds.length !== prompts.length) {
    throw new ArgumentError(`generate: expected a seed for each of ${prompts.length} prompts, got ${seeds.length}`);
  }
  if (seeds && seed !== undefined) throw new ArgumentError('generate: expected seed or seeds, got both');
  for (const each of seeds ?? []) validateSampling({ ...options, seed: each });
  if (stopStrings.length > 0 && !tokenizer) {
    throw new ArgumentError('generate: expected a tokenizer with stopStrings, got none');
  }
  validateTokens('stopTokens', stopTokens, decoder);
  prompts.forEach((prompt, index) => {
    const name = `prompt ${index}`;
    if (prompt.length === 0) throw new ArgumentError(`generate: expected ${name} to have 1 token or more, got none`);
    validateTokens(name, prompt, decoder);
    if (prompt.length >= contextLength) {
      throw new ArgumentError(
        `generate: expected ${name} to have fewer tokens than the model's context length of ${contextLength}, got ${prompt.length}; shorten it`,
      );
    }
    const room = contextLength - prompt.length;
    if (maxNewTokens !== undefined && maxNewTokens > room) {
      throw new ArgumentError(
        `generate: expected maxNewTokens of at most ${room} after the ${prompt.length} tokens of ${name} ` +
          `(context length ${contextLength}), got ${maxNewTokens}`,
      );
    }
    const earlier = generated?.[index] ?? [];
    validateTokens(`generated ${index}`, earlier, decoder);
    if (earlier.length > (maxNewTokens ?? room)) {
      throw new ArgumentError(`generate: expected generated ${index} to have at most ${maxNewTokens ?? room} tokens, got ${earlier.length}`);
    }
  });
  if (contextTokens && contextTokens.length !== prompts.length) {
    throw new ArgumentError(`generate: expected contextTokens for each of ${prompts.length} prompts, got ${contextTokens.length}`);
  }
  contextTokens?.forEach((tokens, index) => {
    const { length } = prompts[index]!;
    if (Number.isInteger(tokens) && tokens >= 1 && tokens <= length) return;
    throw new ArgumentError(`generate: expected contextTokens from 1 to the ${length} tokens of prompt ${index}, got ${tokens}`);
  });
  const spec = resolveCacheSpec(options.cache);
  if (!spec || 'tokens' in spec.limit) return;
  // Too few bytes are reported now, not when the longest prompt has its turn.
  const maxTokens = maxNewTokens === undefined ? contextLength : Math.max(...prompts.map(({ length }) => length)) + maxNewTokens;
  decoder.createCache({ cache: options.cache, maxTokens }).dispose();
}

function validateTokens(name: string, tokens: ArrayLike<number>, { vocabularySize }: Decoder): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (Number.isInteger(token) && token >= 0 && token < vocabularySize) continue;
    throw new ArgumentError(
      `generate: expected the tokens of ${name} to be whole numbers below ${vocabularySize}, got ${token}; is it this model's tokenizer?`,
    );
  }
}
