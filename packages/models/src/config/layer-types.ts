// Which layers attend to a sliding window, and which to all tokens.
import { FileError } from '@mixsga/backend';
import { z } from 'zod';

export type LayerType = 'sliding_attention' | 'full_attention';

const layerType = z.enum(['sliding_attention', 'full_attention'], { error: 'expected sliding_attention or full_attention' });

/** The key `layer_types` of config.json. */
export const layerTypes = z.array(layerType).nullish();

/**
 * The type of each layer.
 * @param given `layer_types`, where there are any
 * @param typeOf of a layer where there are none
 * @throws FileError when there are more or fewer than layers
 */
export function layerTypesOf(given: readonly LayerType[] | null | undefined, layers: number, typeOf: (layer: number) => LayerType, where: string): LayerType[] {
  const types = given ?? Array.from({ length: layers }, (_, layer) => typeOf(layer));
  if (types.length !== layers) {
    throw new FileError(where, `layer_types: expected one for each of num_hidden_layers ${layers}, got ${types.length}`);
  }
  return [...types];
}
