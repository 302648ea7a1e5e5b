// Conversion from one folder to another, tensor by tensor (Node).
import { expectOptions, type OptionNames } from '@mixsga/backend';
import { createRouter } from '@mixsga/router';
import { isTurned } from '../align/align-heads';
import { parseAttention } from '../attention/index';
import { DEFAULT_ROUTER } from '../attention/layer-router';
import { companionFiles, matchTensors, openModelCheckpoint, type ParsedFiles } from './checkpoint';
import { modelShape } from '../config/shape';
import { CONVERT_OPTIONS, convertConfig, convertedSource, type ConvertOptions } from './convert';
import type { ModelConfig } from '../config/shape';
import { familyOf } from '../families/index';
import { storedParameters } from './stored-parameters';
import { type DownloadOptions, FETCH_OPTIONS } from '../hub/snapshot';
import { fromFloat32, type FloatDtype } from '../io/safetensors';
import type { TensorInfo, TensorSource } from '../io/tensor-source';
import { expectConversionFits, machineLimits } from '../sizes/machine';
import { cardFile } from './model-card';
import { SAVE_OPTIONS, saveCheckpoint, type SaveOptions } from './save-checkpoint';

export interface ConvertCheckpointOptions extends ConvertOptions, SaveOptions, Omit<DownloadOptions, 'weights' | 'beforeWeights'> {
  /** The attention variant to convert to. */
  readonly attention: string;
}

const OPTIONS: OptionNames<ConvertCheckpointOptions> = { ...CONVERT_OPTIONS, ...SAVE_OPTIONS, ...FETCH_OPTIONS, attention: true };

/**
 * Converts a checkpoint of any family to another attention variant and writes it to a folder, with one tensor in memory at a
 * time. Needs an active backend, which draws the routers.
 *
 * @param source what `openCheckpoint` takes
 * @returns the configuration written
 * @throws ArgumentError when the variant does not fit, or the source is not as published
 * @throws FileError when a file is malformed or cannot be written; then nothing is
 */
export async function convertCheckpoint(source: string, folder: string, options: ConvertCheckpointOptions): Promise<ModelConfig> {
  expectOptions('convertCheckpoint', options, OPTIONS);
  const { progress, signal, hub, attention, router, routerSeed, align, dtype, maxShardBytes } = options;
  const check = async ({ modelConfig }: ParsedFiles) => expectConversionFits(source, modelConfig, await machineLimits(false));
  const checkpoint = await openModelCheckpoint(source, { progress, signal, hub, check });
  try {
    const published = checkpoint.modelConfig;
    const stored = matchTensors(checkpoint.tensors, storedParameters(published));
    const config = convertConfig(published, attention, { router, routerSeed, align });
    const tensors = convertedTensors(published, config, checkpoint.tensors, stored, await drawnRouters(config));
    const files = new Map<string, Uint8Array | string>([...(await companionFiles(checkpoint)), ...(await cardFile(folder, config, { source }))]);
    await saveCheckpoint(folder, { config: familyOf(config).toJson(config), tensors, files }, { dtype, maxShardBytes });
    return config;
  } finally {
    await checkpoint.tensors.close();
  }
}

/** Tensors of a checkpoint as those of the converted model, each in the type that it has, but F32 for F64. */
function convertedTensors(
  published: ModelConfig, config: ModelConfig, original: TensorSource, stored: ReadonlyMap<string, string>,
  routers: ReadonlyMap<string, Float32Array>,
): TensorSource {
  const storedName = (name: string): string => stored.get(name) ?? name;
  const source = convertedSource(
    published, { has: (name) => stored.has(name), read: (name) => original.read(storedName(name)) }, modelShape(config).attention,
    { align: config.mixsga?.align },
  );
  const tensors = new Map<string, TensorInfo>();
  for (const { name, shape } of storedParameters(config)) {
    const { dtype, where } = original.tensors.get(storedName(name)) ?? { dtype: 'F32', where: original.where };
    tensors.set(name, { dtype: dtype === 'F64' ? 'F32' : dtype, shape, where });
  }
  const read = async (name: string): Promise<Float32Array<ArrayBuffer>> => (
    (routers.get(name) ?? (await source.read(name))) as Float32Array<ArrayBuffer>
  );
  return {
    where: original.where,
    tensors,
    has: (name) => tensors.has(name),
    read,
    async readRaw(name) {
      const { dtype, shape } = tensors.get(name)!;
      const before = original.tensors.get(storedName(name));
      const isSame = before?.dtype === dtype && before.shape.join() === shape.join() && !(config.mixsga?.align && isTurned(published, name));
      if (isSame) return original.readRaw(storedName(name));
      return fromFloat32(await read(name), shape, dtype as FloatDtype).data as Uint8Array<ArrayBuffer>;
    },
    close: () => original.close(),
  };
}

/** The values of the routers that a variant with experts starts with, by parameter name. */
async function drawnRouters(config: ModelConfig): Promise<Map<string, Float32Array>> {
  const { attention, hiddenSize, layers } = modelShape(config);
  const { experts } = parseAttention(attention);
  const values = new Map<string, Float32Array>();
  for (let layer = 0; experts && layer < layers; layer++) {
    const { router: kind = DEFAULT_ROUTER, routerSeed: seed = 0 } = config.mixsga!;
    const router = createRouter(kind, { hiddenSize, ratios: experts.ratiosOf(layer), seed, layer });
    for (const [name, variable] of Object.entries({ ...router.trainable, ...router.buffers })) {
      values.set(`${familyOf(config).layerName(layer)}.self_attn.router.${name}`, (await variable.data()) as Float32Array);
    }
    router.dispose();
  }
  return values;
}
