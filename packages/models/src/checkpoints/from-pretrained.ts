import { ArgumentError, expectBackend, expectOptions, FileError, namingMemory, type OptionNames, startBackend } from '@mixsga/backend';
import type { BackendName } from '@mixsga/backend';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { parseAttention } from '../attention/index';
import { routerOf } from '../attention/layer-router';
import { openModelCheckpoint, sourceOfTensors, type ParsedFiles } from './checkpoint';
import { tokenIds } from '../config/keys';
import { modelShape } from '../config/shape';
import { validateConfig } from '../config/validate';
import { CONVERT_OPTIONS, convertConfig, convertedSource, type ConvertOptions } from './convert';
import { type CachedDecoder, DECODER_OPTIONS, type DecoderOptions } from '../decoder/cached-decoder';
import type { ModelConfig } from '../config/shape';
import { createDecoder } from '../decoder/create-decoder';
import { storedParameters } from './stored-parameters';
import { type DownloadOptions, FETCH_OPTIONS } from '../hub/snapshot';
import type { FileReference } from '../io/checkpoint-files';
import { parseStrictJson, type JsonValue } from '../io/json';
import type { OpenCheckpoint } from './open-checkpoint';
import { expectFits, machineLimits } from '../sizes/machine';
import { WORKLOAD, type Workload } from '../sizes/memory';
import { expectTokenizerFits, type Tokenizer } from '../tokenizers/tokenizer';

export interface PretrainedOptions extends ConvertOptions, DecoderOptions, Omit<DownloadOptions, 'weights' | 'beforeWeights'> {
  /** Backend to start first; default: the active one. */
  readonly backend?: BackendName | 'auto';
  /** Attention variant; another than the checkpoint's is converted to while reading. Default: the checkpoint's. */
  readonly attention?: string;
  /** What the model is to do, so that what will not fit is said before weights are read, with what would; or that, of its tokenizer. */
  readonly workload?: Work | ((model: { readonly tokenizer: Tokenizer; readonly contextLength: number }) => Work | Promise<Work>) | undefined;
}

/** One thing to do, or several, one after the other. */
type Work = Workload | readonly Workload[];

const OPTIONS: OptionNames<PretrainedOptions> = { ...CONVERT_OPTIONS, ...DECODER_OPTIONS, ...FETCH_OPTIONS, backend: true, attention: true, workload: WORKLOAD };

export interface Pretrained {
  /** To be disposed by the caller. */
  readonly decoder: CachedDecoder;
  readonly tokenizer: Tokenizer;
  /** With the attention variant of the decoder. */
  readonly config: ModelConfig;
  /** Tokens that end a text. */
  readonly stopTokens: readonly number[];
  /** The token that begins a text: the tokenizer's BOS, or where it has none its EOS; null where it has neither. */
  readonly prefixToken: number | null;
}

/**
 * A model ready to generate, with its tokenizer. The weights go to the backend one parameter after the other.
 *
 * @param source a folder, the name of a shipped model, "organisation/name[@revision]" of the hub, or files as Blobs or addresses
 * @throws ArgumentError when there is no such model, or the attention variant does not fit it
 * @throws FileError when a file is missing, malformed, or does not belong to the others, or a weight is NaN or infinite; nothing is left on the backend
 * @throws BackendError when the backend cannot start, or has no memory for the weights, which is said before they are read
 */
export async function fromPretrained(source: string | readonly FileReference[], options: PretrainedOptions = {}): Promise<Pretrained> {
  expectOptions('fromPretrained', options, OPTIONS);
  const { backend, attention, weights = 'f32', kv, router, routerSeed, align, workload, ...download } = options;
  if (backend === undefined) expectBackend('fromPretrained');
  else await startBackend(backend);
  const check = async ({ modelConfig, createTokenizer }: ParsedFiles) => {
    const shape = modelShape(modelConfig);
    const variant = parseAttention(attention ?? shape.attention);
    variant.validate(shape);
    const active = tf.getBackend();
    const name = typeof source === 'string' ? source : 'the model';
    const work = typeof workload === 'function' ? await workload({ tokenizer: await createTokenizer(), contextLength: shape.contextLength }) : workload;
    const limits = await machineLimits(active === 'webgpu');
    for (const load of [undefined, work ?? []].flat()) expectFits(name, modelConfig, variant, active, { weights, kv }, limits, load);
  };
  const checkpoint = await openModelCheckpoint(source, { ...download, check });
  const { tensors } = checkpoint;
  try {
    const published = checkpoint.modelConfig;
    const parameters = sourceOfTensors(tensors, storedParameters(published));
    const stopTokens = await stopTokensOf(checkpoint, published);
    const { config: tokenizerConfig, where } = await checkpoint.tokenizer();
    const tokenizer = await checkpoint.createTokenizer();
    expectTokenizerFits(tokenizer, published.vocab_size, where);
    const own = parseAttention(modelShape(published).attention).spec;
    const spec = parseAttention(attention ?? own).spec;
    if (align && spec === own) throw new ArgumentError(`align: expected another attention variant than ${own}, which the checkpoint has; heads are aligned on conversion`);
    const config = spec === own ? published : convertConfig(published, spec, { router, routerSeed, align });
    const has = routerOf(config);
    if (router !== undefined && router !== has) {
      throw new ArgumentError(`router: expected ${has ? `${has}, which the checkpoint has` : `none, since ${spec} routes no tokens`}, got ${router}; routers are made where plain attention is converted to a variant with experts`);
    }
    const converted = spec === own ? parameters : convertedSource(published, parameters, spec, { align });
    const prefixToken = prefixTokenOf(tokenizer, tokenizerConfig, published);
    const decoder = await namingMemory(
      () => `${checkpoint.where}: weights as ${weights}`, 'choose smaller ones (--weights int8), a smaller model or another backend',
      () => createDecoder(config, converted, { weights, kv }),
    );
    return { decoder, tokenizer, config, stopTokens, prefixToken };
  } finally {
    await tensors.close();
  }
}

/** Those of generation_config.json, else of config.json. */
async function stopTokensOf(checkpoint: OpenCheckpoint, config: ModelConfig): Promise<number[]> {
  const name = 'generation_config.json';
  const bytes = await checkpoint.file(name);
  const where = `${checkpoint.where}/${name}`;
  const given = bytes && validateConfig(z.object({ eos_token_id: tokenIds.nullish() }), parseJson(bytes, where), where).eos_token_id;
  return [given ?? config.eos_token_id ?? []].flat();
}

/** BOS by tokenizer_config.json, which may say that there is none, else by config.json; without it EOS. */
function prefixTokenOf(tokenizer: Tokenizer, tokenizerConfig: JsonValue, config: ModelConfig): number | null {
  const special = (key: string): number | null | undefined => {
    const { [key]: token } = (tokenizerConfig ?? {}) as Readonly<Record<string, unknown>>;
    if (token === null) return null;
    const content = typeof token === 'string' ? token : (token as { content?: unknown } | undefined)?.content;
    return typeof content === 'string' ? tokenizer.tokenId(content) : undefined;
  };
  const [bos, eos] = [special('bos_token'), special('eos_token')];
  return (bos === undefined ? config.bos_token_id : bos) ?? eos ?? [config.eos_token_id ?? []].flat()[0] ?? null;
}

function parseJson(bytes: Uint8Array, where: string): JsonValue {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof SyntaxError) throw new FileError(where, error.message, { cause: error });
    throw error;
  }
}
