// A model as evaluators see one: windows of tokens in plain arrays. It satisfies `LanguageModel` of @mixsga/evaluators, which
// this package does not know.
import { ArgumentError, expectOptions, type OptionNames } from '@mixsga/backend';
import type { KvTraits, RowLikelihood } from '@mixsga/backend';
import type { StreamedNll, StreamOptions } from '@mixsga/kv-cache';
import { parseAttention } from '../attention/index';
import { modelShape } from '../config/shape';
import { kvTraits } from '../sizes/cost';
import { LIKELIHOOD_OPTIONS, type LikelihoodOptions, TEXT_OPTIONS, type TextOptions } from '../decoder/cached-decoder';
import type { LayerDecisions } from '../decoder/decisions';
import type { Pretrained } from '../checkpoints/from-pretrained';
import { generate, type GenerateOptions, type Generation } from '../generation/generate';
import { STREAM_OPTIONS, streamNll } from './stream-nll';
import type { Tokenizer } from '../tokenizers/tokenizer';

interface Windows {
  /** How many windows the tokens are: all have the same length T and start at position 0. */
  readonly windows: number;
}

const LIKELIHOOD: OptionNames<LikelihoodOptions & Windows> = { ...LIKELIHOOD_OPTIONS, windows: true };
const ROUTING: OptionNames<TextOptions & Windows> = { ...TEXT_OPTIONS, windows: true };

/** Likelihoods, routing and text of a model. Tokens are row-major [windows, T]. */
export interface DecodedLanguageModel {
  /** Longest window in tokens. */
  readonly contextLength: number;
  readonly kv: KvTraits;
  readonly tokenizer: Tokenizer;
  readonly prefixToken: number | null;
  readonly stopTokens: readonly number[];
  /** See `CachedDecoder.likelihood`: of each target, [windows, T]. */
  likelihood(inputs: Int32Array, targets: Int32Array, options: LikelihoodOptions & Windows): Promise<RowLikelihood>;
  /** See `CachedDecoder.routingOf`: an entry for each layer that routes, of [windows, T] and [windows, T, E]. */
  routingOf(inputs: Int32Array, options: TextOptions & Windows): Promise<LayerDecisions[]>;
  /** See {@link streamNll}. */
  streamNll(inputs: Int32Array, targets: Int32Array, options: StreamOptions): Promise<StreamedNll>;
  /** See {@link generate}. */
  generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions): Generation;
}

/**
 * What evaluators see of a model. Owns nothing: the decoder stays to be disposed by whoever made it.
 *
 * Its functions throw an ArgumentError when tokens do not divide into `windows`, and what the decoder throws.
 */
export function languageModel({ decoder, tokenizer, config, stopTokens, prefixToken }: Pretrained): DecodedLanguageModel {
  const shape = modelShape(config);
  return {
    contextLength: decoder.contextLength,
    kv: kvTraits(shape, parseAttention(shape.attention), decoder.kv),
    tokenizer,
    prefixToken,
    stopTokens,

    async likelihood(inputs, targets, given) {
      expectOptions('likelihood', given, LIKELIHOOD);
      const { windows, onProgress, ...options } = given;
      expectSameLength('likelihood', inputs, targets);
      const all = { nll: new Float32Array(inputs.length), greedy: new Uint8Array(inputs.length) };
      for (const { first, end } of windowsOf('likelihood', inputs, windows)) {
        const { nll, greedy } = await decoder.likelihood(inputs.subarray(first, end), targets.subarray(first, end), {
          ...options, onProgress: onProgress && ((done) => onProgress((first + done * (end - first)) / inputs.length)),
        });
        all.nll.set(nll, first);
        all.greedy.set(greedy, first);
      }
      return all;
    },

    async routingOf(inputs, given) {
      expectOptions('routingOf', given, ROUTING);
      const { windows, onProgress, ...options } = given;
      const byWindow: LayerDecisions[][] = [];
      for (const { first, end } of windowsOf('routingOf', inputs, windows)) {
        byWindow.push(await decoder.routingOf(inputs.subarray(first, end), {
          ...options, onProgress: onProgress && ((done) => onProgress((first + done * (end - first)) / inputs.length)),
        }));
      }
      return byWindow[0]!.map((_, layer): LayerDecisions => {
        const windowsOfLayer = byWindow.map((layers) => layers[layer]!);
        return {
          prefill: Int32Array.from(windowsOfLayer.flatMap(({ prefill }) => [...prefill])),
          decode: Int32Array.from(windowsOfLayer.flatMap(({ decode }) => [...decode])),
          scores: Float32Array.from(windowsOfLayer.flatMap(({ scores }) => [...scores])),
        };
      });
    },

    async streamNll(inputs, targets, options) {
      expectOptions('streamNll', options, STREAM_OPTIONS);
      expectSameLength('streamNll', inputs, targets);
      windowsOf('streamNll', inputs, options.windows);
      return streamNll(decoder, inputs, targets, options);
    },

    generate: (prompts, options) => generate(decoder, prompts, options),
  };
}

function windowsOf(who: string, { length }: Int32Array, windows: number): { first: number; end: number }[] {
  if (!Number.isInteger(windows) || windows < 1 || length === 0 || length % windows !== 0) {
    throw new ArgumentError(`${who}: expected windows of the same length with a token or more each, got ${length} tokens in ${windows} windows`);
  }
  const size = length / windows;
  return Array.from({ length: windows }, (_, window) => ({ first: window * size, end: (window + 1) * size }));
}

function expectSameLength(who: string, inputs: Int32Array, targets: Int32Array): void {
  if (inputs.length !== targets.length) {
    throw new ArgumentError(`${who}: expected a target for each of ${inputs.length} tokens, got ${targets.length}`);
  }
}
