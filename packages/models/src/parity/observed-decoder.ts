import type { Tensor } from '@tensorflow/tfjs-core';
import { convertConfig, convertedSource } from '../checkpoints/convert';
import { CachedDecoder } from '../decoder/cached-decoder';
import type { ModelConfig } from '../config/shape';
import { familyOf, parseModelConfig } from '../families/index';
import type { Fixture } from './fixture';

/** A decoder of which every layer's output can be seen. */
export interface ObservedDecoder {
  readonly decoder: CachedDecoder;
  /** What each layer put out since the last call, float32 [rows, D] in one array, layer by layer for each pass. */
  hidden(): Promise<Float32Array[]>;
}

/**
 * The model of a fixture on the active backend, converted to an attention variant.
 * @param changes to the config
 */
export async function observedDecoder(
  { config: json, source }: Fixture, attention = 'mha', { changes = {} }: { changes?: object } = {},
): Promise<ObservedDecoder> {
  const published = parseModelConfig({ ...json, ...changes }, 'config.json');
  const config = convertConfig(published, attention);
  const family = familyOf(config);
  const outputs: Tensor[] = [];
  const decoder = await CachedDecoder.create<ModelConfig>(
    {
      ...family,
      async load(parsed, loader) {
        const transformer = await family.load(parsed, loader);
        return {
          ...transformer,
          *finishLayer(layer, a, rows) {
            yield* transformer.finishLayer(layer, a, rows);
            outputs.push(loader.runtime.tensor(a.x, rows));
          },
        };
      },
    },
    config,
    convertedSource(published, source, attention),
  );
  return {
    decoder,
    async hidden() {
      const values: Float32Array[] = [];
      for (const tensor of outputs.splice(0)) {
        values.push((await tensor.data()) as Float32Array);
        tensor.dispose();
      }
      return values;
    },
  };
}
